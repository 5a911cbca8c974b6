/** Tests of the FTP client with servers in common use, with our server, and with hostile servers. */
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { chmod, chown, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { firstValueFrom } from 'rxjs';
import { type Channel, listen } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { verifyCodec } from 'rxjs-sockets/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { replies } from '../../examples/services/ftp/replies.js';
import type { Program } from '../examples/program.js';
import { server as identity } from '../support/transport/node/tls/certificates.js';
import { file } from '../support/transport/node/tls/certificates.js';
import { freshFolder } from '../support/transport/places.js';
import { until } from '../support/scheduling/event-loop.js';
import {
  ftpProgram,
  hashOf,
  randomFile,
  sessionTls,
  serveFolder,
  start,
  startServer,
  type TcpAddress,
} from '../support/services/ftp.js';
import { describeWith } from '../support/processes/programs.js';

const large = 100_000_000; // bytes
const patient = { timeout: 60_000 }; // ms
const trusting = { NODE_EXTRA_CA_CERTS: file('authority.pem') };

async function ftp(
  port: number,
  args: readonly string[],
  environment: NodeJS.ProcessEnv = trusting,
): Promise<Program & { readonly status: number | string }> {
  const client = await ftpProgram('ftp', [`tcp://localhost:${port}`, 'anonymous', 'me@', ...args], environment);
  return Object.assign(client, { status: await client.ended });
}

async function folder(): Promise<string> {
  const files = await freshFolder();
  await mkdir(join(files, 'sub'));
  await writeFile(join(files, 'hello.txt'), 'hello\nworld\n');
  await writeFile(join(files, 'sub', '-ü "x"'), '12345');
  return files;
}

describe('the FTP client with our server', () => {
  it.each([
    ['in the clear', undefined],
    ['encrypted', sessionTls],
  ])('lists, gets and puts files, %s', patient, async (_, tls) => {
    const [files, own] = [await folder(), await freshFolder()];
    const { port } = (await serveFolder(files, { tls })) as TcpAddress;
    const list = await ftp(port, ['list']);
    expect(list).toMatchObject({ status: 0, errors: '' });
    expect(list.lines.sort()).toEqual([
      expect.stringMatching(/^dir {16}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}sub$/),
      expect.stringMatching(/^file {11}12 {2}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}hello.txt$/),
    ]);
    expect((await ftp(port, ['list', 'sub'])).output).toContain('  -ü "x"\n');
    expect((await ftp(port, ['list', 'hello.txt'])).output).toMatch(/^-rw.* 12 .* hello.txt\n$/);

    const hash = await randomFile(join(own, 'up'), large);
    expect(await ftp(port, ['put', join(own, 'up'), 'sub/large'])).toMatchObject({ status: 0, output: '', errors: '' });
    expect(await hashOf(join(files, 'sub', 'large'))).toBe(hash);
    expect(await ftp(port, ['get', 'sub/large', join(own, 'down')])).toMatchObject({
      status: 0,
      output: '',
      errors: '',
    });
    expect(await hashOf(join(own, 'down'))).toBe(hash);
    expect((await readdir(own)).sort()).toEqual(['down', 'up']);
  });

  it('gets and puts empty files', async () => {
    const [files, own] = [await folder(), await freshFolder()];
    const { port } = (await serveFolder(files, { tls: sessionTls })) as TcpAddress;
    await writeFile(join(own, 'empty'), '');
    expect(await ftp(port, ['put', join(own, 'empty'), 'empty'])).toMatchObject({ status: 0 });
    expect(await ftp(port, ['get', 'empty', join(own, 'back')])).toMatchObject({ status: 0 });
    expect(await readFile(join(own, 'back'), 'utf8')).toBe('');
  });

  it('after a failure, says what to do, exits with 1 and leaves no file behind', patient, async () => {
    const [files, own] = [await folder(), await freshFolder()];
    const login = { user: 'ann', password: 'secret' };
    const { port } = (await serveFolder(files)) as TcpAddress;
    const { port: closed } = (await serveFolder(files, { login })) as TcpAddress;
    const unused = await unusedPort();
    const results = await Promise.all([
      ftp(port, ['get', 'nothing', join(own, 'down')]),
      ftp(port, ['put', join(own, 'nothing'), 'new']),
      ftp(port, ['put', own, 'new']),
      ftp(port, ['list', 'nothing']),
      ftp(closed, ['list']),
      ftp(unused, ['list']),
      ftp(port, ['list'], { FTP_TLS: 'required' }),
    ]);
    expect(results.map(({ status }) => status)).toEqual([1, 1, 1, 1, 1, 1, 1]);
    const errors = results.map((result) => result.errors);
    expect(errors[0]).toMatch(/550 No such file or folder[^]*Check the path/);
    expect(errors[1]).toMatch(/no such file/);
    expect(errors[2]).toMatch(/not a file/);
    expect(errors[3]).toMatch(/550 [^]*Check the path/);
    expect(errors[4]).toMatch(/530 [^]*Check USER and PASSWORD/);
    expect(errors[5]).toMatch(/ECONNREFUSED[^]*Is an FTP server running/);
    expect(errors[6]).toMatch(/has no TLS/);
    expect(await readdir(own)).toEqual([]);
    expect((await readdir(files)).sort()).toEqual(['hello.txt', 'sub']);
  });

  it('says what to do if the network, the server or a file fails', patient, async () => {
    const own = await freshFolder();
    const greeting = async (words: string): Promise<Program> => {
      const server = net.createServer((socket) => socket.on('error', () => undefined).end(words));
      onTestFinished(() => void server.close());
      await once(server.listen(0, '127.0.0.1'), 'listening');
      return ftp((server.address() as net.AddressInfo).port, ['list']);
    };
    const files = await folder();
    const { port } = (await serveFolder(files)) as TcpAddress;
    const nowhere = await ftpProgram('ftp', ['tcp://nowhere.invalid:21', 'anonymous', 'me@', 'list']);
    const early = await ftpProgram('ftp', [`tls://localhost:${port}`, 'anonymous', 'me@', 'list']);
    const cases: [Program, RegExp][] = [
      [await greeting(''), /^The server has ended the connection: try again\.\n$/],
      [await greeting('421 Full.\r\n'), /^The server refuses the connection: 421 Full\.\n[^]*try again later/],
      [await greeting('HTTP/1.1 400 Bad Request\r\n'), /not a reply from an FTP server\nIs it an FTP server/],
      [nowhere, /\nCheck the name of the host\.\n$/],
      [early, /\nDoes the server begin with TLS there\?/],
      [await ftp(port, ['get', 'hello.txt', join(own, 'no', 'down')]), /no such file[^]*\nCheck the path of LOCAL/],
      [await ftp(port, ['put', join(own, 'nothing'), 'new']), /no such file[^]*\nCheck the path of LOCAL/],
    ];
    for (const [client, errors] of cases) {
      expect(await client.ended).toBe(1);
      expect(client.errors).toMatch(errors);
    }
  });

  it('reports a server that is killed in the middle of a file, and keeps no part of the file', patient, async () => {
    const [files, own] = [await folder(), await freshFolder()];
    await writeFile(join(files, 'large'), Buffer.alloc(large));
    const { server, port } = await startServer('tcp://127.0.0.1:0', files);
    const client = await ftpProgram('ftp', [`tcp://127.0.0.1:${port}`, 'a', 'b', 'get', 'large', join(own, 'down')]);
    await until(() => readdirSync(own).length > 0);
    await server.interrupt('SIGKILL');
    expect(await client.ended).toBe(1);
    expect(client.errors).toMatch(/: try again\.\n$/);
    expect(await readdir(own)).toEqual([]);
  });

  it('explains bad arguments and exits with 2, and refuses names with line ends', async () => {
    const results = await Promise.all([
      ftp(1, []),
      ftp(1, ['get', 'one']),
      ftp(1, ['remove', 'one']),
      ftp(1, ['get', 'one\r\nDELE two', 'three']),
      ftp(1, ['list'], { FTP_TLS: 'perhaps' }),
    ]);
    for (const { status, errors } of results) {
      expect({ status, errors }).toEqual({ status: 2, errors: expect.stringContaining('put LOCAL REMOTE') as string });
    }
  });

  it('sends no password to a server that it cannot verify', async () => {
    const files = await folder();
    const heard: string[] = [];
    const port = await scripted(heard, { 'AUTH TLS': '234 begin' });
    const { status, errors } = await ftp(port, ['list'], {});
    expect(status).toBe(1);
    expect(errors).toMatch(/FTP_TLS=off/);
    expect(heard).toEqual(['AUTH TLS']);
    const { port: unknown } = (await serveFolder(files, { tls: sessionTls })) as TcpAddress;
    const refused = await ftp(unknown, ['list'], {});
    expect(refused.status).toBe(1);
    expect(refused.errors).toMatch(/certificate[^]*NODE_EXTRA_CA_CERTS/);
    expect(await ftp(unknown, ['list'], { FTP_TLS: 'off' })).toMatchObject({ status: 0 });
  });
});

describe('the FTP client with a hostile server', () => {
  const usual = {
    'AUTH TLS': '500 no',
    USER: '230 welcome',
    FEAT: '500 no',
    EPSV: '500 no',
    TYPE: '200 yes',
    QUIT: '221 bye',
  };

  it("falls back to PASV, and connects to no address but the server's", async () => {
    const own = await freshFolder();
    const { port: data } = await dataServer((socket) => socket.end('hello'));
    const heard: string[] = [];
    const port = await scripted(heard, {
      ...usual,
      PASV: `227 Entering Passive Mode (10,9,8,7,${data >> 8},${data & 255}).`,
      SIZE: '213 5',
      RETR: '150 here it comes\r\n226 there it was',
    });
    expect(await ftp(port, ['get', 'hello.txt', join(own, 'down')])).toMatchObject({ status: 0, errors: '' });
    expect(await readFile(join(own, 'down'), 'utf8')).toBe('hello');
    expect(heard.at(-1)).toBe('QUIT');
  });

  it.each([
    ['ends before it is complete', (socket: net.Socket) => socket.end('hel'), '226 there it was', /Only 3 of 5 bytes/],
    [
      'is reset',
      (socket: net.Socket) => void socket.write('hel', () => socket.resetAndDestroy()),
      '426 the disk is broken',
      /426 the disk is broken/,
    ],
    ['is refused at the end', (socket: net.Socket) => socket.end('hello'), '451 that was wrong', /451 that was wrong/],
  ])('fails to get a file whose transfer %s', async (_, send, end, message) => {
    const own = await freshFolder();
    await writeFile(join(own, 'down'), 'as before');
    const heard: string[] = [];
    const { port: data } = await dataServer((socket) => {
      void until(() => heard.includes('RETR hello.txt')).then(() => send(socket));
    });
    const port = await scripted(heard, {
      ...usual,
      EPSV: `229 Entering Extended Passive Mode (|||${data}|)`,
      SIZE: '213 5',
      RETR: `150 here it comes\r\n${end}`,
    });
    const { status, errors } = await ftp(port, ['get', 'hello.txt', join(own, 'down')]);
    expect(status).toBe(1);
    expect(errors).toMatch(message);
    expect(await readdir(own)).toEqual(['down']);
    expect(await readFile(join(own, 'down'), 'utf8')).toBe('as before');
  });

  it('prints nothing that a terminal would interpret, and refuses an endless reply', async () => {
    const { port: data } = await dataServer((socket) => socket.end('-rw \x1b[31mred\x07\r\n'));
    const listing = await scripted([], {
      ...usual,
      EPSV: `229 Entering Extended Passive Mode (|||${data}|)`,
      LIST: '150 here it comes\r\n226 there it was',
    });
    expect(await ftp(listing, ['list'])).toMatchObject({ status: 0, output: '-rw ?[31mred?\n' });
    const endless = await scripted([], {
      ...usual,
      USER: `230-${'x'.repeat(60_000)}\r\n${'more and more\r\n'.repeat(1_000)}`,
    });
    const { status, errors } = await ftp(endless, ['list']);
    expect(status).toBe(1);
    expect(errors).toMatch(/longer than 65536 bytes/);
  });

  it('D1, D4: decodes replies for every chunking', () => {
    const encoder = lines({ delimiter: '\r\n' }).encoder();
    verifyCodec(
      {
        decoder: () => replies.decoder(),
        encoder: () => ({
          encode: ({ code, lines: [first, ...others] }, into) => {
            encoder.encode(`${code}${others.length > 0 ? '-' : ' '}${first!}`, into);
            others.forEach((line, index) =>
              encoder.encode(index === others.length - 1 ? `${code} ${line}` : ` ${line}`, into),
            );
          },
        }),
      },
      [
        { code: 220, lines: ['Ready'] },
        { code: 211, lines: ['Extensions:', 'MLST type*;', '211x yz', 'End'] },
      ],
    );
  });
});

/** These servers need root, because they change to another user. */
const isRoot = process.getuid?.() === 0;

describeWith('the FTP client with vsftpd', ['vsftpd'], ([vsftpd]) => {
  it.skipIf(!isRoot).each([
    ['in the clear', []],
    [
      'encrypted, with session resumption on data connections',
      [
        'ssl_enable=YES',
        'allow_anon_ssl=YES',
        'force_anon_logins_ssl=YES',
        'force_anon_data_ssl=YES',
        'require_ssl_reuse=YES',
        'strict_ssl_read_eof=YES',
        `rsa_cert_file=${file('server.pem')}`,
        `rsa_private_key_file=${file('server.key')}`,
      ],
    ],
  ])('lists, gets and puts files of 100 MB, %s', patient, async (_, security) => {
    const [base, own] = [await freshFolder(), await freshFolder()];
    const { root, incoming, empty } = {
      root: join(base, 'root'),
      incoming: join(base, 'root', 'incoming'),
      empty: join(base, 'empty'),
    };
    await mkdir(incoming, { recursive: true });
    await mkdir(empty);
    await chmod(base, 0o755);
    await chmod(incoming, 0o777);
    const hash = await randomFile(join(root, 'large'), large);
    const port = await unusedPort();
    const configuration = [
      'listen=YES',
      'listen_address=127.0.0.1',
      `listen_port=${port}`,
      'background=NO',
      'anonymous_enable=YES',
      'write_enable=YES',
      'anon_upload_enable=YES',
      'anon_umask=022',
      `anon_root=${root}`,
      `secure_chroot_dir=${empty}`,
      'seccomp_sandbox=NO',
      'isolate=NO',
      'isolate_network=NO',
      'xferlog_enable=NO',
      ...security,
    ];
    await writeFile(join(base, 'vsftpd.conf'), `${configuration.join('\n')}\n`);
    start(vsftpd, [join(base, 'vsftpd.conf')]);
    await reachable(port);
    await exchange(port, own, hash, 'incoming');
    expect(await hashOf(join(incoming, 'up'))).toBe(hash);
  });
});

describeWith('the FTP client with pure-ftpd', ['pure-ftpd/usr/sbin/pure-ftpd'], ([pureFtpd]) => {
  it.skipIf(!isRoot)('lists, gets and puts files of 100 MB', patient, async () => {
    const [base, own] = [await freshFolder(), await freshFolder()];
    const root = join(base, 'root');
    await mkdir(join(root, 'incoming'), { recursive: true });
    const nobody = 65_534;
    for (const path of [base, root, join(root, 'incoming')]) await chmod(path, 0o755);
    await chown(join(root, 'incoming'), nobody, nobody);
    const hash = await randomFile(join(root, 'large'), large);
    // pure-ftpd asks this server who may log in, and to which folder.
    const users = listen<string, string>({ path: join(base, 'users') }, { codec: lines() });
    const asked = users.subscribe(({ data }) => {
      data.subscribe((line) => {
        if (line !== 'end') return;
        for (const answer of ['auth_ok:1', `uid:${nobody}`, `gid:${nobody}`, `dir:${root}`, 'end']) data.next(answer);
        data.complete();
      });
    });
    onTestFinished(() => asked.unsubscribe());
    await firstValueFrom(users.listening);
    const port = await unusedPort();
    const options = ['-E', '-H', '-g', join(base, 'pid'), '-l', `extauth:${join(base, 'users')}`, '-u', '1', '-A'];
    // If the standard input is a socket, as Node's pipes are, pure-ftpd serves this socket instead of listening.
    start(pureFtpd, ['-S', `127.0.0.1,${port}`, ...options], {}, 'ignore');
    await reachable(port);
    await exchange(port, own, hash, 'incoming', 'ann');
    expect(await hashOf(join(root, 'incoming', 'up'))).toBe(hash);
  });
});

/** Lists the root of a server, gets the file `large`, and puts it into a folder as `up`. */
async function exchange(port: number, own: string, hash: string, incoming: string, user = 'anonymous'): Promise<void> {
  const client = async (...args: string[]): Promise<Program> => {
    const running = await ftpProgram('ftp', [`tcp://localhost:${port}`, user, 'me@', ...args], trusting);
    expect(await running.ended, running.errors).toBe(0);
    return running;
  };
  expect((await client('list')).output).toMatch(/ large\n/);
  await client('get', 'large', join(own, 'down'));
  expect(await hashOf(join(own, 'down'))).toBe(hash);
  await client('put', join(own, 'down'), `${incoming}/up`);
  expect((await client('list', incoming)).output).toMatch(/ up\n/);
}

/**
 * A server that records the commands in `heard`. The answer to a command is the entry of `answers` for the whole line,
 * or else the entry for the first word of the line.
 */
async function scripted(heard: string[], answers: Readonly<Record<string, string>>): Promise<number> {
  const server = listen<string, string>({ port: 0 }, { codec: lines({ delimiter: '\r\n' }) });
  const subscription = server.subscribe((connection) => {
    const { data } = connection;
    data.next('220 ready');
    data.subscribe({
      next: (line) => {
        heard.push(line);
        answer(data, answers[line] ?? answers[line.split(' ')[0]!] ?? '502 what?');
        if (line === 'AUTH TLS' && answers[line]?.startsWith('234') === true) {
          connection.startTls(identity).catch(() => undefined);
        }
      },
      complete: () => data.complete(),
    });
  });
  onTestFinished(() => {
    subscription.unsubscribe();
    for (const connection of server.connections) connection.destroy();
  });
  return ((await firstValueFrom(server.listening)) as TcpAddress).port;
}

function answer(data: Channel<string, string>, text: string): void {
  for (const line of text.split('\r\n')) data.next(line);
}

async function dataServer(handler: (socket: net.Socket) => void): Promise<{ port: number }> {
  const server = net.createServer((socket) => handler(socket.on('error', () => undefined))).listen(0, 'localhost');
  onTestFinished(() => {
    server.close();
  });
  await once(server, 'listening');
  return { port: (server.address() as net.AddressInfo).port };
}

async function unusedPort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Waits until a started server listens. */
async function reachable(port: number): Promise<void> {
  for (;;) {
    const socket = net.connect(port, '127.0.0.1');
    const isThere = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    socket.destroy();
    if (isThere) return;
    await delay(20);
  }
}
