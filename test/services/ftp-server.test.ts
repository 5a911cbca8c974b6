import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import tls from 'node:tls';
import { verifyCodec } from 'rxjs-sockets/testing';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { control } from '../../examples/services/ftp-server/control.js';
import { Folder } from '../../examples/services/ftp-server/folder.js';
import { example } from '../examples/program.js';
import { file } from '../support/transport/node/tls/certificates.js';
import { freshFolder } from '../support/transport/places.js';
import {
  dial,
  ftpProgram,
  RawClient,
  readAll,
  run,
  serveFolder,
  sessionTls,
  startServer,
  withTls,
} from '../support/services/ftp.js';

/** A folder to serve, `files`, with a text in it, and beside it what nobody may see. */
async function planted(): Promise<{ beside: string; files: string }> {
  const beside = await freshFolder();
  const files = join(beside, 'files');
  await mkdir(join(files, 'sub'), { recursive: true });
  await mkdir(join(beside, 'private'));
  await writeFile(join(beside, 'private', 'secret.txt'), 'secret');
  await writeFile(join(files, 'hello.txt'), 'hello\nworld\n');
  return { beside, files };
}

describe('a session of the FTP server', () => {
  it('logs in, tells where it is, and changes folders, with quotation marks doubled', async () => {
    const { files } = await planted();
    const client = await RawClient.open(await serveFolder(files));
    expect(await client.ask('PWD')).toMatch(/^530 /);
    expect(await client.ask('PASS x')).toMatch(/^503 /);
    expect(await client.ask('user somebody')).toMatch(/^331 /);
    expect(await client.ask('PASS x')).toMatch(/^230 /);
    expect(await client.ask('PWD')).toMatch(/^257 "\/" /);
    expect(await client.ask('MKD a "b" ü')).toMatch(/^257 "\/a ""b"" ü" /);
    expect(await client.ask('CWD a "b" ü')).toMatch(/^250 /);
    expect(await client.ask('XPWD')).toMatch(/^257 "\/a ""b"" ü" /);
    expect(await client.ask('CDUP')).toMatch(/^250 /);
    expect(await client.ask('CDUP')).toMatch(/^250 /);
    expect(await client.ask('PWD')).toMatch(/^257 "\/" /);
    expect(await client.ask('CWD hello.txt')).toMatch(/^550 /);
    expect(await client.ask('RMD a "b" ü')).toMatch(/^250 /);
    expect(await client.ask('RMD /')).toMatch(/^550 /);
    expect(await client.ask('QUIT')).toMatch(/^221 /);
    expect(await client.reply()).toBe('end');
  });

  it('tells what it can do, and what it can not', async () => {
    const { files } = await planted();
    const client = await RawClient.logIn(await serveFolder(files));
    const features = await client.ask('FEAT');
    for (const name of ['EPRT', 'EPSV', 'MDTM', 'MLST type*;', 'REST STREAM', 'SIZE', 'UTF8']) {
      expect(features).toContain(`\n ${name}`);
    }
    expect(features).not.toContain('AUTH');
    for (const [command, code] of [
      ['SYST', 215],
      ['NOOP', 200],
      ['HELP', 214],
      ['STAT', 211],
      ['ALLO 100', 202],
      ['MODE S', 200],
      ['MODE B', 504],
      ['STRU F', 200],
      ['STRU R', 504],
      ['TYPE A N', 200],
      ['TYPE E', 504],
      ['TYPE L 8', 200],
      ['OPTS UTF8 ON', 200],
      ['OPTS UTF8 OFF', 504],
      ['OPTS COFFEE', 501],
      ['REST x', 501],
      ['ABOR', 225],
      ['AUTH TLS', 502],
      ['PBSZ 0', 503],
      ['PROT P', 503],
      ['SITE CHMOD 777 x', 502],
      ['CONSTRUCTOR', 500],
      ['RETR', 501],
      ['RETR hello.txt', 425],
      ['RNTO x', 503],
    ] as const) {
      expect(await client.ask(command), command).toMatch(new RegExp(`^${code}[ -]`));
    }
  });

  it('tells sizes, times and facts', async () => {
    const { files } = await planted();
    await utimes(join(files, 'hello.txt'), 1_000_000_000, 1_000_000_000);
    const client = await RawClient.logIn(await serveFolder(files));
    expect(await client.ask('SIZE hello.txt')).toBe('213 12');
    expect(await client.ask('MDTM hello.txt')).toBe('213 20010909014640');
    expect(await client.ask('SIZE sub')).toMatch(/^550 /);
    expect(await client.ask('MLST hello.txt')).toMatch(
      /\r\n type=file;size=12;modify=20010909014640;perm=adfrw; \/hello.txt\r\n250 End/,
    );
    expect(await client.ask('OPTS MLST size;type;nonsense;')).toBe('200 MLST OPTS type;size;');
    expect(await client.ask('MLST hello.txt')).toContain('\r\n type=file;size=12; /hello.txt\r\n');
    expect(await client.ask('STAT hello.txt')).toMatch(/^213-.*\r\n -rw.* 12 Sep {2}9 {2}2001 hello.txt\r\n213 End$/);
    await client.ask('TYPE A');
    expect(await client.ask('SIZE hello.txt')).toBe('213 14');
  });

  it('lists folders, files and patterns, and no name that could pass for two', async () => {
    const { files } = await planted();
    await writeFile(join(files, 'evil\r\n-rw-rw-rw- 1 a a 1 Jan 1 2020 planted'), '');
    await writeFile(join(files, 'sub', 'one.md'), '');
    await writeFile(join(files, 'sub', 'two.txt'), '');
    const client = await RawClient.logIn(await serveFolder(files));
    const list = async (command: string): Promise<string[]> => {
      const data = await client.openData();
      expect(await client.ask(command)).toMatch(/^150 /);
      const text = await readAll(data);
      expect(await client.reply()).toMatch(/^226 /);
      return text.split('\r\n').slice(0, -1).sort();
    };
    expect(await list('NLST')).toEqual(['hello.txt', 'sub']);
    expect(await list('NLST sub')).toEqual(['sub/one.md', 'sub/two.txt']);
    expect(await list('NLST sub/*.txt')).toEqual(['sub/two.txt']);
    expect(await list('LIST -la')).toEqual([
      expect.stringMatching(/^-rw-r--r-- .* 12 \w{3} [ \d]\d \d\d:\d\d hello.txt$/),
      expect.stringMatching(/^drwxr-xr-x .* sub$/),
    ]);
    expect(await list('MLSD')).toEqual([
      expect.stringMatching(/^type=cdir;modify=\d{14};perm=cdeflmp; .$/),
      expect.stringMatching(/^type=dir;modify=\d{14};perm=cdeflmp; sub$/),
      expect.stringMatching(/^type=file;size=12;modify=\d{14};perm=adfrw; hello.txt$/),
    ]);
    await client.openData();
    expect(await client.ask('MLSD hello.txt')).toMatch(/^501 /);
    expect(await client.ask('LIST nothing')).toMatch(/^550 /);
  });

  it('refuses to list a folder that it may not open, before the transfer begins', async () => {
    const { files } = await planted();
    const folder = await Folder.open(files);
    onTestFinished(() => folder.close());
    // The tests may run as root, who may open any folder.
    const denied = Object.assign(new Error('permission denied'), { code: 'EACCES' });
    vi.spyOn(folder, 'assertListable').mockRejectedValue(denied);
    const client = await RawClient.logIn(await serveFolder(files, { folder }));
    for (const command of ['LIST sub', 'NLST sub', 'LIST sub/*', 'MLSD sub', 'STAT sub']) {
      await client.listen();
      expect(await client.ask(command)).toBe('550 The server may not do that.');
    }
  });

  it('renames and removes', async () => {
    const { files } = await planted();
    const client = await RawClient.logIn(await serveFolder(files));
    expect(await client.ask('RNFR nothing')).toMatch(/^550 /);
    expect(await client.ask('RNFR hello.txt')).toMatch(/^350 /);
    expect(await client.ask('NOOP')).toMatch(/^200 /);
    expect(await client.ask('RNTO sub/there.txt')).toMatch(/^503 /);
    expect(await client.ask('RNFR hello.txt')).toMatch(/^350 /);
    expect(await client.ask('RNTO sub/there.txt')).toMatch(/^250 /);
    expect(await client.ask('RMD sub')).toMatch(/^550 /);
    expect(await client.ask('DELE sub')).toMatch(/^550 /);
    expect(await client.ask('DELE sub/there.txt')).toMatch(/^250 /);
    expect(await client.ask('RMD sub')).toMatch(/^250 /);
    expect(await readdir(files)).toEqual([]);
  });

  it('ends lines with CR LF on the wire and with LF in files, with TYPE A', async () => {
    const { files } = await planted();
    const client = await RawClient.logIn(await serveFolder(files), 'TYPE A');
    const down = await client.openData();
    await client.ask('RETR hello.txt');
    expect(await readAll(down)).toBe('hello\r\nworld\r\n');
    expect(await client.reply()).toMatch(/^226 /);
    const up = await client.openData();
    await client.ask('STOR new.txt');
    // The pair is cut apart, and a CR by itself is one.
    up.write('one\r');
    await delay(20);
    up.end('\ntwo\rthree\r\n\r');
    expect(await client.reply()).toMatch(/^226 /);
    expect(await readFile(join(files, 'new.txt'), 'latin1')).toBe('one\ntwo\rthree\n\r');
  });

  it('takes commands that end with LF alone, that are pipelined, and with Telnet in between', async () => {
    const { files } = await planted();
    const client = await RawClient.open(await serveFolder(files));
    client.send('USER a\nPASS b\r\n\r\nNOOP\n');
    for (const code of [331, 230, 200]) expect(await client.reply()).toMatch(new RegExp(`^${code} `));
    client.send(Buffer.from('\xff\xfb\x01NO\xff\xf1OP\r\n', 'latin1'));
    expect(await client.reply()).toMatch(/^200 /);
    client.send(Buffer.from('MKD \xff\xff\r\n', 'latin1')); // a doubled IAC is a byte, which is not UTF-8
    expect(await client.reply()).toMatch(/^501 /);
  });

  it('ends one that is too long, says nonsense, guesses passwords, or says nothing', async () => {
    const { files } = await planted();
    const login = { user: 'ann', password: 'secret' };
    const address = await serveFolder(files, { login, limits: { login: 300 } });
    const long = await RawClient.open(address);
    long.send('x'.repeat(20_000));
    expect(await long.reply()).toMatch(/^500 /);
    expect(await long.reply()).toBe('end');

    const browser = await RawClient.open(address);
    browser.send(`POST / HTTP/1.1\r\n${'Cookie: x\r\n'.repeat(20)}`);
    for (let count = 0; count < 10; count++) expect(await browser.reply()).toMatch(/^500 /);
    expect(await browser.reply()).toBe('end');

    const guesser = await RawClient.open(address);
    for (const password of ['a', 'b', 'c']) {
      await guesser.ask('USER ann');
      expect(await guesser.ask(`PASS ${password}`)).toMatch(/^530 /);
    }
    expect(await guesser.reply()).toBe('end');

    const silent = await RawClient.open(address);
    expect(await silent.reply()).toMatch(/^421 /);
    expect(await silent.reply()).toBe('end');

    const idle = await RawClient.logIn(await serveFolder(files, { limits: { idle: 100 } }));
    expect(await idle.reply()).toMatch(/^421 /);

    const ann = await RawClient.open(address);
    await ann.ask('USER ann');
    expect(await ann.ask('PASS secret')).toMatch(/^230 /);
  });

  it('has no data connections over a unix socket, and says so', async () => {
    const { beside, files } = await planted();
    const client = await RawClient.logIn(await serveFolder(files, {}, { path: join(beside, 'socket') }));
    for (const command of ['PASV', 'EPSV', 'EPSV ALL', 'PORT 127,0,0,1,200,1', 'EPRT |1|127.0.0.1|50000|']) {
      expect(await client.ask(command)).toMatch(/^502 .*unix socket/);
    }
    expect(await client.ask('MLST hello.txt')).toMatch(/^250-/);
  });

  it('D1, D4: its codec does not mind how the bytes are cut', async () => {
    verifyCodec(
      {
        decoder: () => control.decoder(),
        encoder: () => ({ encode: ({ verb, argument }, into) => into.text(`${verb} ${argument ?? ''}\r\n`, 'utf8') }),
      },
      [
        { verb: 'RETR', argument: ' a  b ' },
        { verb: 'STOR', argument: 'ü' },
        { verb: 'NOOP', argument: '' },
      ],
    );
  });
});

describe('data connections of the FTP server', () => {
  it('go to the address of the client alone, and to no port of the system', async () => {
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

  it('come from the address of the client alone, and the port is for one', async () => {
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

  it('are waited for as long as `open` allows, and may stand still as long as `stall` does', async () => {
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

  it('use the ports that they are given, one after the other', async () => {
    const { files } = await planted();
    const first = await refusingPort();
    const address = await serveFolder(files, { ports: [first, first] });
    const client = await RawClient.logIn(address);
    expect(await client.listen()).toBe(first);
    expect(await client.listen()).toBe(first);
    const other = await RawClient.logIn(address);
    expect(await other.ask('EPSV')).toMatch(/^425 /);
  });

  it('may be slow', async () => {
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
  it('get their name when they are whole, and not before', async () => {
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
      'ends with that of its commands, as when the client is killed',
      (data: net.Socket, client: RawClient) => {
        client.socket.end();
        data.end();
      },
    ],
    [
      'is reset with that of its commands',
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

  it('go on behind what is there, with REST and APPE', async () => {
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

describe('ABOR at the FTP server', () => {
  it.each([
    ['by itself', 'ABOR\r\n'],
    ['without the LF, which was urgent', 'ABOR\r'],
    ['behind what is left of Telnet where DM was urgent', '\xff\xf4\xffABOR\r\n'],
    ['behind what is left of Telnet where the second IAC was urgent', '\xff\xf4\xf2ABOR\r\n'],
    ['behind what is left of Telnet where the first IAC was urgent', '\xf4\xff\xf2ABOR\r\n'],
    ['behind all of Telnet', '\xff\xf4\xff\xf2ABOR\r\n'],
  ])('ends a transfer, %s', async (_, bytes) => {
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

  it('ends a transfer that waits for its connection, and an upload without a trace', async () => {
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

  it('leaves what was said before it, and is not taken for the next command', async () => {
    const { files } = await planted();
    const client = await RawClient.logIn(await serveFolder(files));
    const data = await client.openData();
    client.send('RETR hello.txt\r\nPWD\r\nNOOP\r\n');
    expect(await client.reply()).toMatch(/^150 /);
    expect(await readAll(data)).toBe('hello\nworld\n');
    for (const code of [226, 257, 200]) expect(await client.reply()).toMatch(new RegExp(`^${code} `));
  });
});

describe('the folder of the FTP server', () => {
  it('is not left by any path or link', async () => {
    const { beside, files } = await planted();
    await symlink(join(beside, 'private'), join(files, 'out'));
    await symlink('..', join(files, 'up'));
    await symlink(join(beside, 'private', 'secret.txt'), join(files, 'secret'));
    await symlink(join(beside, 'private', 'new.txt'), join(files, 'dangling'));
    await symlink('/proc/self/root', join(files, 'sub', 'root'));
    await symlink('sub', join(files, 'inner'));
    await symlink('../hello.txt', join(files, 'sub', 'hello'));
    const client = await RawClient.logIn(await serveFolder(files));
    const outside = [
      '../private/secret.txt',
      '../../../../../../etc/passwd',
      '/etc/passwd',
      'out/secret.txt',
      'up/private/secret.txt',
      'sub/../../private/secret.txt',
      'sub/root/etc/passwd',
      'secret',
    ];
    for (const path of outside) {
      for (const verb of ['SIZE', 'MDTM', 'MLST', 'CWD', 'STAT', 'RNFR']) {
        expect(await client.ask(`${verb} ${path}`), `${verb} ${path}`).toMatch(/^550 /);
      }
      const data = await client.openData();
      expect(await client.ask(`RETR ${path}`), path).toMatch(/^550 /);
      data.destroy();
    }
    for (const path of ['../private/new.txt', 'out/new.txt', 'up/private/new.txt', 'out/new']) {
      for (const verb of ['STOR', 'APPE', 'MKD', 'DELE']) {
        await client.listen();
        expect(await client.ask(`${verb} ${path}`), `${verb} ${path}`).toMatch(/^550 /);
      }
    }
    for (const path of ['out', 'up', 'out/..']) {
      await client.listen();
      if (path !== 'out/..') expect(await client.ask(`MLSD ${path}`), path).toMatch(/^550 /);
      expect(await client.ask(`RMD ${path}/x`), path).toMatch(/^550 /);
    }
    await client.ask('RNFR hello.txt');
    expect(await client.ask('RNTO out/hello.txt')).toMatch(/^550 /);
    await client.listen();
    await client.ask('REST 1');
    expect(await client.ask('STOR secret')).toMatch(/^550 /);

    // An upload takes the place of a link, and never goes through it.
    for (const name of ['secret', 'dangling']) {
      await rm(join(files, name));
      await symlink(join(beside, 'private', name === 'secret' ? 'secret.txt' : 'new.txt'), join(files, name));
      const data = await client.openData();
      expect(await client.ask(`STOR ${name}`)).toMatch(/^150 /);
      data.end('mine');
      expect(await client.reply()).toMatch(/^226 /);
      expect(await readFile(join(files, name), 'utf8')).toBe('mine');
    }

    const list = await client.openData();
    await client.ask('NLST');
    expect((await readAll(list)).split('\r\n').sort()).toEqual(['', 'dangling', 'hello.txt', 'inner', 'secret', 'sub']);
    await client.reply();
    expect(await client.ask('SIZE inner/hello')).toBe('213 12');
    expect(await readdir(join(beside, 'private'))).toEqual(['secret.txt']);
    expect(await readFile(join(beside, 'private', 'secret.txt'), 'utf8')).toBe('secret');
  });

  it('is not left while a folder is exchanged for a link and back', async () => {
    const { beside, files } = await planted();
    await mkdir(join(files, 'door'));
    await writeFile(join(files, 'door', 'secret.txt'), 'public');
    await symlink(join(beside, 'private'), join(files, 'link'));
    const address = await serveFolder(files);
    let isOver = false;
    const exchange = (async () => {
      while (!isOver) {
        await rename(join(files, 'door'), join(files, 'spare'));
        await rename(join(files, 'link'), join(files, 'door'));
        await rename(join(files, 'door'), join(files, 'link'));
        await rename(join(files, 'spare'), join(files, 'door'));
      }
    })();
    const client = await RawClient.logIn(address);
    const seen = new Set<string>();
    for (let round = 0; round < 150; round++) {
      const down = await client.openData();
      if ((await client.ask('RETR door/secret.txt')).startsWith('150')) {
        seen.add(await readAll(down));
        await client.reply();
      }
      const up = await client.openData();
      if ((await client.ask(`STOR door/new-${round}.txt`)).startsWith('150')) {
        up.end('x');
        await client.reply();
      }
    }
    isOver = true;
    await exchange;
    expect([...seen]).toEqual(['public']);
    expect(await readdir(join(beside, 'private'))).toEqual(['secret.txt']);
  });

  it('has files only: a pipe is not waited for', async () => {
    const { beside, files } = await planted();
    await run('/usr/bin/mkfifo', [join(files, 'pipe')]);
    const socket = net.createServer().listen(join(files, 'socket'));
    await once(socket, 'listening');
    const client = await RawClient.logIn(await serveFolder(files));
    for (const name of ['pipe', 'socket']) {
      await client.listen();
      expect(await client.ask(`RETR ${name}`)).toMatch(/^550 /);
      expect(await client.ask(`STOR ${name}`)).toMatch(/^553 /);
      expect(await client.ask(`APPE ${name}`)).toMatch(/^553 /);
      expect(await client.ask(`SIZE ${name}`)).toMatch(/^550 /);
    }
    socket.close();
    expect(existsSync(beside)).toBe(true);
  });
});

describe('TLS at the FTP server', () => {
  it('begins with AUTH, forgets who has logged in before, and encrypts data after PBSZ and PROT', async () => {
    const { files } = await planted();
    const login = { user: 'ann', password: 'secret' };
    const client = await RawClient.open(await serveFolder(files, { tls: sessionTls, login }));
    expect(await client.ask('FEAT')).toContain('\n AUTH TLS');
    expect(await client.ask('USER ann')).toMatch(/^530 .*AUTH TLS/);
    expect(await client.ask('AUTH KERBEROS')).toMatch(/^504 /);
    expect(await client.ask('PBSZ 0')).toMatch(/^503 /);
    expect(await client.ask('AUTH SSL')).toMatch(/^234 /);
    await client.startTls();
    expect(await client.ask('AUTH TLS')).toMatch(/^503 /);
    await client.ask('USER ann');
    expect(await client.ask('PASS secret')).toMatch(/^230 /);
    expect(await client.ask('PROT P')).toMatch(/^503 /);
    expect(await client.ask('PBSZ 0')).toMatch(/^200 /);
    expect(await client.ask('PROT S')).toMatch(/^536 /);
    expect(await client.ask('PROT P')).toMatch(/^200 /);
    const data = await client.openData();
    expect(await client.ask('RETR hello.txt')).toMatch(/^150 /);
    data.end('this is not TLS, though it is as long as a record has to be\r\n');
    expect(await client.reply()).toMatch(/^425 /);
  });

  it('takes nothing for said that came in the clear behind AUTH', async () => {
    const { files } = await planted();
    const client = await RawClient.logIn(await serveFolder(files, { tls: sessionTls }));
    client.send('AUTH TLS\r\nDELE hello.txt\r\n');
    await client.reply();
    expect(await client.reply()).toBe('end');
    expect(await readdir(files)).toContain('hello.txt');
  });

  it('keeps no client from its data port by strangers who are slow', async () => {
    const { files } = await planted();
    const client = await RawClient.open(await serveFolder(files, { tls: sessionTls }));
    await client.ask('AUTH TLS');
    await client.startTls();
    for (const command of ['USER a', 'PASS b', 'PBSZ 0', 'PROT P']) await client.ask(command);
    const port = await client.listen();
    const strangers = await Promise.all(Array.from({ length: 20 }, () => dial(port, '127.0.0.2')));
    const raw = await dial(port);
    expect(await client.ask('RETR hello.txt')).toMatch(/^150 /);
    const secure = tls.connect({ socket: raw, rejectUnauthorized: false }).on('error', () => undefined);
    expect(await readAll(secure)).toBe('hello\r\nworld\r\n');
    secure.end();
    expect(await client.reply()).toMatch(/^226 /);
    for (const stranger of strangers) expect(await readAll(stranger)).toBe('');
  });

  it('takes an upload that ends without a close_notify for one that was cut off', async () => {
    const { files } = await planted();
    const client = await RawClient.open(await serveFolder(files, { tls: sessionTls }));
    await client.ask('AUTH TLS');
    await client.startTls();
    for (const command of ['USER a', 'PASS b', 'PBSZ 0', 'PROT P']) await client.ask(command);
    const raw = await client.openData();
    expect(await client.ask('STOR new.txt')).toMatch(/^150 /);
    const secure = tls.connect({ socket: raw, rejectUnauthorized: false }).on('error', () => undefined);
    await once(secure, 'secureConnect');
    await new Promise<void>((resolve) => secure.write('half', () => resolve()));
    raw.end();
    expect(await client.reply()).toMatch(/^426 /);
    expect((await readdir(files)).sort()).toEqual(['hello.txt', 'sub']);
  });
});

describe('the program', () => {
  it('finishes a transfer at SIGTERM, says goodbye to the others, and ends with 0', async () => {
    const { files } = await planted();
    await truncate(join(files, 'hello.txt'), 30_000_000);
    const { server, port } = await startServer('tcp://127.0.0.1:0', files);
    const address = { transport: 'tcp', host: '127.0.0.1', port } as const;
    const idle = await RawClient.logIn(address);
    const down = await RawClient.logIn(address);
    const up = await RawClient.logIn(address);
    const source = await down.openData();
    await down.ask('RETR hello.txt');
    await once(source, 'readable');
    const sink = await up.openData();
    await up.ask('STOR new.txt');
    sink.write('half of');
    const ended = server.interrupt('SIGTERM');
    expect(await idle.reply()).toMatch(/^421 /);
    expect(await idle.reply()).toBe('end');
    idle.socket.end();
    sink.end(' it');
    expect(await up.reply()).toMatch(/^226 /);
    expect((await readAll(source)).length).toBe(30_000_000);
    expect(await down.reply()).toMatch(/^226 /);
    source.end();
    for (const client of [up, down]) {
      expect(await client.reply()).toMatch(/^421 /);
      client.socket.end();
    }
    expect(await ended).toBe(0);
    expect(await readFile(join(files, 'new.txt'), 'utf8')).toBe('half of it');
  });

  it('listens at a unix socket, and explains bad arguments', async () => {
    const { beside, files } = await planted();
    const path = join(beside, 'socket');
    await example('services/ftp-server', `unix:${path}`, files).until(/^unix:/);
    const client = await RawClient.logIn({ transport: 'unix', path });
    expect(await client.ask('SIZE hello.txt')).toBe('213 12');
    const wrong = [
      ['tcp://127.0.0.1:0'],
      ['nonsense', files],
      ['tcp://127.0.0.1:0', join(files, 'hello.txt')],
      ['tcp://127.0.0.1:0', files, '--tls', withTls[1]!],
      ['tls://127.0.0.1:0', files],
      ['tcp://127.0.0.1:0', files, '--tls', join(files, 'hello.txt'), withTls[2]!],
      ['tcp://127.0.0.1:0', files, '--tls', file('client.key'), withTls[2]!],
    ].map((args) => ftpProgram('ftp-server', args));
    for (const bad of await Promise.all(wrong)) {
      expect(await bad.ended).toBe(2);
      expect(bad.errors).toContain('ADDRESS FOLDER [--tls KEY CERT]');
    }
  });
});

/** Waits until a folder has so many entries. */
async function entries(folder: string, count: number): Promise<void> {
  while ((await readdir(folder)).length !== count);
}

/** A port of this machine on which nobody listens. */
async function refusingPort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
