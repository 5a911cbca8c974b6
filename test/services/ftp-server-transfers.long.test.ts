import { once } from 'node:events';
import { readdir, readFile, truncate } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { dial, RawClient, readAll, serveFolder } from '../support/services/ftp.js';
import { planted } from '../support/services/ftp-folder.js';

describe('data connections of the FTP server', () => {
  it('go only to the address of the client, and to no system port', async () => {
    const { files } = await planted();
    const client = await RawClient.logIn(await serveFolder(files));
    expect(await client.ask('PORT 127,0,0,2,200,1')).toMatch(/^504 /);
    expect(await client.ask('PORT 10,0,0,1,200,1')).toMatch(/^504 /);
    expect(await client.ask('PORT 127,0,0,1,0,25')).toMatch(/^504 /);
    expect(await client.ask('PORT 127,0,0,1,256,1')).toMatch(/^501 /);
    expect(await client.ask('PORT 127,0,0,1')).toMatch(/^501 /);
    expect(await client.ask('EPRT |1|127.0.0.2|50000|')).toMatch(/^504 /);
    expect(await client.ask('EPRT |1|127.0.0.1|25|')).toMatch(/^504 /);
    expect(await client.ask('EPRT |1|127.0.0.1|99999|')).toMatch(/^501 /);
    expect(await client.ask('EPRT |2|::1|50000|')).toMatch(/^522 .*\(1\)/);
    expect(await client.ask('RETR hello.txt')).toMatch(/^425 /);
    expect(await client.ask('PORT 127,0,0,1,200,1')).toMatch(/^200 /);
    expect(await client.ask('EPSV 2')).toMatch(/^522 .*\(1\)/);
    expect(await client.ask('EPSV ALL')).toMatch(/^200 /);
    expect(await client.ask('PASV')).toMatch(/^503 /);
    expect(await client.ask('PORT 127,0,0,1,200,1')).toMatch(/^503 /);
    expect(await client.ask('EPRT |1|127.0.0.1|50000|')).toMatch(/^503 /);
    expect(await client.ask('EPSV')).toMatch(/^229 /);
  });

  it('come only from the address of the client, and each port accepts only one connection', async () => {
    const { files } = await planted();
    const client = await RawClient.logIn(await serveFolder(files));
    const port = await client.listen();
    const stranger = await dial(port, '127.0.0.2');
    expect(await readAll(stranger)).toBe('');
    const data = await dial(port);
    expect(await client.ask('RETR hello.txt')).toMatch(/^150 /);
    expect(await readAll(data)).toBe('hello\nworld\n');
    expect(await client.reply()).toMatch(/^226 /);
    const late = await dial(port);
    expect(late.destroyed).toBe(true);
    const before = await client.listen();
    await client.listen();
    expect((await dial(before)).destroyed, 'a second EPSV closes the port of the first').toBe(true);
  });

  it('time out after `open` if they are not opened, and after `stall` if they are silent', async () => {
    const { files } = await planted();
    await truncate(join(files, 'hello.txt'), 50_000_000);
    const client = await RawClient.logIn(await serveFolder(files, { limits: { open: 100, stall: 200 } }));
    await client.listen();
    expect(await client.ask('RETR hello.txt')).toMatch(/^150 /);
    expect(await client.reply()).toMatch(/^425 /);
    const port = await refusingPort();
    await client.ask(`EPRT |1|127.0.0.1|${port}|`);
    expect(await client.ask('RETR hello.txt')).toMatch(/^150 /);
    expect(await client.reply()).toMatch(/^425 /);
    await client.openData();
    expect(await client.ask('RETR hello.txt')).toMatch(/^150 /);
    expect(await client.reply(), 'nobody reads').toMatch(/^426 /);
    const silent = await client.openData();
    silent.write('x');
    expect(await client.ask('STOR new.txt')).toMatch(/^150 /);
    expect(await client.reply(), 'nobody sends').toMatch(/^426 /);
    expect(await readdir(files)).toEqual(['hello.txt', 'sub']);
  });

  it('use the given ports, one after another', async () => {
    const { files } = await planted();
    const first = await refusingPort();
    const address = await serveFolder(files, { ports: [first, first] });
    const client = await RawClient.logIn(address);
    expect(await client.listen()).toBe(first);
    expect(await client.listen()).toBe(first);
    const other = await RawClient.logIn(address);
    expect(await other.ask('EPSV')).toMatch(/^425 /);
  });

  it('can last longer than `stall` as long as bytes flow', async () => {
    const { files } = await planted();
    await truncate(join(files, 'hello.txt'), 3_000_000);
    const client = await RawClient.logIn(await serveFolder(files, { limits: { stall: 1_000 } }));
    const data = await client.openData();
    await client.ask('RETR hello.txt');
    let received = 0;
    for await (const chunk of data) {
      received += (chunk as Buffer).length;
      await delay(5);
    }
    expect(received).toBe(3_000_000);
    expect(await client.reply()).toMatch(/^226 /);
  });
});

describe('uploads to the FTP server', () => {
  it('get their final names only once they are complete', async () => {
    const { files } = await planted();
    const client = await RawClient.logIn(await serveFolder(files));
    const data = await client.openData();
    expect(await client.ask('STOR hello.txt')).toMatch(/^150 /);
    data.write('half of');
    await entries(files, 3);
    expect(await readFile(join(files, 'hello.txt'), 'utf8')).toBe('hello\nworld\n');
    const draft = (await readdir(files)).find((name) => name.startsWith('.'))!;
    const other = await RawClient.logIn(await serveFolder(files));
    const list = await other.openData();
    await other.ask('NLST');
    expect(await readAll(list)).not.toContain(draft);
    await other.reply();
    for (const command of [`DELE ${draft}`, `SIZE ${draft}`, `RNFR ${draft}`, `MKD ${draft}`]) {
      expect(await other.ask(command)).toMatch(/^553 /);
    }
    data.end(' it');
    expect(await client.reply()).toMatch(/^226 /);
    expect(await readFile(join(files, 'hello.txt'), 'utf8')).toBe('half of it');
    expect((await readdir(files)).sort()).toEqual(['hello.txt', 'sub']);
  });

  it.each([
    ['is reset', (data: net.Socket) => data.resetAndDestroy()],
    [
      'ends with the control connection, as when the client is killed',
      (data: net.Socket, client: RawClient) => {
        client.socket.end();
        data.end();
      },
    ],
    [
      'is reset with the control connection',
      (data: net.Socket, client: RawClient) => {
        client.socket.resetAndDestroy();
        data.resetAndDestroy();
      },
    ],
  ])('leave nothing behind when their connection %s', async (_, cutOff) => {
    const { files } = await planted();
    const client = await RawClient.logIn(await serveFolder(files));
    const data = await client.openData();
    expect(await client.ask('STOR new.txt')).toMatch(/^150 /);
    data.write(Buffer.alloc(100_000));
    await entries(files, 3);
    cutOff(data, client);
    expect(await client.reply()).toMatch(/^426 |^end$/);
    await entries(files, 2);
    expect((await readdir(files)).sort()).toEqual(['hello.txt', 'sub']);
  });

  it('resume at the end of the file, with REST and APPE', async () => {
    const { files } = await planted();
    const client = await RawClient.logIn(await serveFolder(files));
    const store = async (text: string, ...commands: string[]): Promise<string> => {
      const data = await client.openData();
      for (const command of commands.slice(0, -1)) await client.ask(command);
      const begun = await client.ask(commands.at(-1)!);
      if (!begun.startsWith('150')) return begun;
      data.end(text);
      return client.reply();
    };
    const content = (): Promise<string> => readFile(join(files, 'hello.txt'), 'utf8');
    expect(await store('you', 'REST 6', 'STOR hello.txt')).toMatch(/^226 /);
    expect(await content()).toBe('hello\nyou');
    expect(await store(' there', 'APPE hello.txt')).toMatch(/^226 /);
    expect(await content()).toBe('hello\nyou there');
    expect(await store('x', 'REST 100', 'STOR hello.txt')).toMatch(/^554 /);
    expect(await store('x', 'REST 1', 'STOR nothing.txt')).toMatch(/^550 /);
    expect(await store('new', 'APPE new.txt')).toMatch(/^226 /);
    expect(await store('x', 'STOR sub')).toMatch(/^553 /);
    expect(await store('x', 'APPE sub')).toMatch(/^553 /);
    expect(await store('unique', 'STOU')).toMatch(/^226 /);
    expect((await readdir(files)).sort()).toEqual(['hello.txt', 'new.txt', 'sub', expect.stringMatching(/^upload-/)]);
  });
});

describe('ABOR with the FTP server', () => {
  it.each([
    ['by itself', 'ABOR\r\n'],
    ['without the LF, which was urgent', 'ABOR\r'],
    ['after the rest of the Telnet sequence, if DM was urgent', '\xff\xf4\xffABOR\r\n'],
    ['after the rest of the Telnet sequence, if the second IAC was urgent', '\xff\xf4\xf2ABOR\r\n'],
    ['after the rest of the Telnet sequence, if the first IAC was urgent', '\xf4\xff\xf2ABOR\r\n'],
    ['after the whole Telnet sequence', '\xff\xf4\xff\xf2ABOR\r\n'],
  ])('ends a transfer if ABOR arrives %s', async (_, bytes) => {
    const { files } = await planted();
    await truncate(join(files, 'hello.txt'), 50_000_000);
    const client = await RawClient.logIn(await serveFolder(files));
    const data = await client.openData();
    expect(await client.ask('RETR hello.txt')).toMatch(/^150 /);
    await once(data, 'readable');
    client.send('NOOP\r\nSTAT\r\n');
    expect(await client.reply()).toMatch(/^211 \d{5,} bytes/);
    client.send(Buffer.from(bytes, 'latin1'));
    expect(await client.reply()).toMatch(/^426 /);
    expect(await client.reply()).toMatch(/^226 /);
    expect(await client.reply(), 'the NOOP').toMatch(/^200 /);
    expect(await client.ask('NOOP')).toMatch(/^200 /);
  });

  it('ends a transfer that waits for its connection, and leaves nothing of an upload', async () => {
    const { files } = await planted();
    const client = await RawClient.logIn(await serveFolder(files));
    await client.listen();
    await client.ask('RETR hello.txt');
    expect(await client.ask('ABOR')).toMatch(/^426 /);
    expect(await client.reply()).toMatch(/^226 /);
    const data = await client.openData();
    await client.ask('STOR new.txt');
    data.write('half');
    await entries(files, 3);
    expect(await client.ask('ABOR')).toMatch(/^426 /);
    expect(await client.reply()).toMatch(/^226 /);
    expect((await readdir(files)).sort()).toEqual(['hello.txt', 'sub']);
  });

  it('is not confused with other commands that arrive during a transfer', async () => {
    const { files } = await planted();
    const client = await RawClient.logIn(await serveFolder(files));
    const data = await client.openData();
    client.send('RETR hello.txt\r\nPWD\r\nNOOP\r\n');
    expect(await client.reply()).toMatch(/^150 /);
    expect(await readAll(data)).toBe('hello\nworld\n');
    for (const code of [226, 257, 200]) expect(await client.reply()).toMatch(new RegExp(`^${code} `));
  });
});

/** Waits until a folder has `count` entries. */
async function entries(folder: string, count: number): Promise<void> {
  while ((await readdir(folder)).length !== count);
}

/** A port of this machine at which no server listens. */
async function refusingPort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
