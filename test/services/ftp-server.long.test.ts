import { once } from 'node:events';
import { readdir, readFile, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { verifyCodec } from 'rxjs-sockets/testing';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { control } from '../../examples/services/ftp-server/control.js';
import { Folder } from '../../examples/services/ftp-server/folder.js';
import { example } from '../examples/program.js';
import { file } from '../support/transport/node/tls/certificates.js';
import { ftpProgram, RawClient, readAll, serveFolder, startServer, withTls } from '../support/services/ftp.js';
import { planted } from '../support/services/ftp-folder.js';

describe('a session of the FTP server', () => {
  it('logs in, changes folders, and reports its folder with all quotation marks doubled', async () => {
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

  it('reports its features, and what it does not support', async () => {
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

  it('reports sizes, times and facts', async () => {
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

  it('lists folders, files and patterns, and leaves out names with line ends', async () => {
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

  it('refuses, before the transfer begins, to list a folder that the server cannot read', async () => {
    const { files } = await planted();
    const folder = await Folder.open(files);
    onTestFinished(() => folder.close());
    // If the tests run as root, the server can open every folder. So the test replaces the check.
    const denied = Object.assign(new Error('permission denied'), { code: 'EACCES' });
    vi.spyOn(folder, 'assertListable').mockRejectedValue(denied);
    const client = await RawClient.logIn(await serveFolder(files, { folder }));
    for (const command of ['LIST sub', 'NLST sub', 'LIST sub/*', 'MLSD sub', 'STAT sub']) {
      await client.listen();
      expect(await client.ask(command)).toBe('550 The server may not do that.');
    }
  });

  it('renames and removes files, and removes empty folders', async () => {
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

  it('converts line ends for TYPE A: CR LF on the wire, LF in files', async () => {
    const { files } = await planted();
    const client = await RawClient.logIn(await serveFolder(files), 'TYPE A');
    const down = await client.openData();
    await client.ask('RETR hello.txt');
    expect(await readAll(down)).toBe('hello\r\nworld\r\n');
    expect(await client.reply()).toMatch(/^226 /);
    const up = await client.openData();
    await client.ask('STOR new.txt');
    // The first CR LF is split over two chunks. Two of the CRs have no LF.
    up.write('one\r');
    await delay(20);
    up.end('\ntwo\rthree\r\n\r');
    expect(await client.reply()).toMatch(/^226 /);
    expect(await readFile(join(files, 'new.txt'), 'latin1')).toBe('one\ntwo\rthree\n\r');
  });

  it('accepts commands that end with LF alone, are pipelined, or contain Telnet commands', async () => {
    const { files } = await planted();
    const client = await RawClient.open(await serveFolder(files));
    client.send('USER a\nPASS b\r\n\r\nNOOP\n');
    for (const code of [331, 230, 200]) expect(await client.reply()).toMatch(new RegExp(`^${code} `));
    client.send(Buffer.from('\xff\xfb\x01NO\xff\xf1OP\r\n', 'latin1'));
    expect(await client.reply()).toMatch(/^200 /);
    client.send(Buffer.from('MKD \xff\xff\r\n', 'latin1')); // A doubled IAC is one byte, which is not UTF-8.
    expect(await client.reply()).toMatch(/^501 /);
  });

  it('is ended after a long line, nonsense, wrong passwords, or silence', async () => {
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

  it('offers no data connections over a unix socket, and its replies say so', async () => {
    const { beside, files } = await planted();
    const client = await RawClient.logIn(await serveFolder(files, {}, { path: join(beside, 'socket') }));
    for (const command of ['PASV', 'EPSV', 'EPSV ALL', 'PORT 127,0,0,1,200,1', 'EPRT |1|127.0.0.1|50000|']) {
      expect(await client.ask(command)).toMatch(/^502 .*unix socket/);
    }
    expect(await client.ask('MLST hello.txt')).toMatch(/^250-/);
  });

  it('D1, D4: decodes commands for every chunking', async () => {
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

describe('the program of the FTP server', () => {
  it('at SIGTERM, finishes a transfer, says goodbye to the other clients, and exits with 0', async () => {
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

  it('listens on a unix socket, and explains bad arguments', async () => {
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
