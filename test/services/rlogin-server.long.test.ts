import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { chmod, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { Terminal } from '../../examples/services/rlogin/terminal.js';
import { Program } from '../examples/program.js';
import { freshFolder } from '../support/transport/places.js';
import { describeWith, peer } from '../support/processes/programs.js';
import {
  client,
  me,
  Screen,
  prompt,
  start,
  isRoot,
  home,
  use,
  printTenMegabytes,
  server,
  portOf,
  Raw,
  canAsk,
  megabyte,
} from '../support/services/rlogin-session.js';

afterAll(() => rmSync(home, { recursive: true, force: true }));

async function ownServer(
  address = 'tcp://127.0.0.1:0',
  as: readonly string[] = [],
): Promise<{ address: string; port: number; program: Program; pid: number }> {
  const { program, child } = start([...as, ...server, address]);
  onTestFinished(() => void child.kill('SIGKILL'));
  const [bound] = await program.until(/^.+$/m);
  return { address: bound, port: portOf(bound), program, pid: child.pid ?? 0 };
}

function isRunning(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

async function gone(pid: number): Promise<void> {
  while (isRunning(pid)) await delay(20);
}

let shared: ReturnType<typeof start>;
let address: string;
let port: number;
/** A client that exceeds the time for its handshake while the other tests run. */
let slow: Raw;

beforeAll(async () => {
  shared = start([...server, 'tcp://127.0.0.1:0']);
  [address] = await shared.program.until(/^.+$/m);
  port = portOf(address);
  slow = new Raw(port);
  slow.socket.write('\0');
  const typing = setInterval(() => slow.socket.write('a'), 500);
  slow.socket.once('close', () => clearInterval(typing));
});

afterAll(async () => {
  slow.socket.destroy();
  expect(await shared.program.interrupt('SIGTERM')).toBe(0);
});

describe('rlogin-server.ts', () => {
  it('gives our own client a real terminal, and ends the session when the shell ends', async () => {
    const screen = new Screen([...client, address, me]);
    await use(screen);
    expect(await screen.ended).toBe(0);
  });

  it('prints ten megabytes through our own client', () => printTenMegabytes(new Screen([...client, address, me])));

  it('listens on a unix socket as well', async () => {
    const { address } = await ownServer(`unix:${join(await freshFolder(), 'socket')}`);
    const screen = new Screen([...client, address, me]);
    await use(screen, { asksForSize: true }); // Over a unix socket, the client does not wait for urgent data.
    expect(await screen.ended).toBe(0);
  });

  it('without python3, works at the default window size', async () => {
    const folder = await freshFolder();
    for (const name of ['bash', 'stty']) await symlink(peer(name) ?? name, join(folder, name));
    const { address } = await ownServer('tcp://127.0.0.1:0', ['env', `PATH=${folder}`]);
    const screen = new Screen(['env', `PATH=${folder}`, ...client, address, me]);
    await screen.until(prompt);
    await screen.type('/bin/stty size\r', /24 80/);
    await screen.type('exit\r');
    expect(await screen.ended).toBe(0);
  });

  it('runs full-screen programs at the right size', async () => {
    const screen = new Screen([...client, address, me]);
    await screen.until(prompt);
    const page = join(await freshFolder(), 'page');
    await writeFile(page, Array.from({ length: 100 }, (_, line) => `line ${line}\n`).join(''));
    await screen.type(`LESS= less ${page}\r`, canAsk ? /line 31\r?\n[^]*page/ : /line 22\r?\n[^]*page/);
    await screen.type('G', /line 99/);
    await screen.type('q', prompt);
  });

  it('starts a session at 80 by 24, and applies a window size that arrives later', async () => {
    const raw = await Raw.logIn(port);
    await raw.type('stty size; echo $TERM\r', /24 80\r\nxterm\r\n/);
    raw.socket.write('\xff\xffss\x00\x1e\x00\x50\x00\x00\x00\x00', 'latin1');
    await raw.type('until [ "$(stty size)" = "30 80" ]; do sleep 0.05; done; stty size | tr " " x\r', /30x80/);
    await raw.type('exit\r', /logout|exit/);
    await once(raw.socket, 'close');
  });

  it('recognizes a window size that arrives in pieces, and passes similar bytes on as keys', async () => {
    const raw = await Raw.logIn(port);
    await raw.type("stty raw -echo; echo re''ady; head -c 4 | od -An -tx1; stty sane\r", /ready\r?\n/);
    for (const byte of Buffer.from('\xff\xffss\x00\x1f\x00\x50\x00\x00\x00\x00\xff\xffsx', 'latin1')) {
      raw.socket.write(Buffer.of(byte));
      await delay(1);
    }
    await raw.received.until(/ff ff 73 78/);
    await raw.type('stty size\r', /31 80/);
  });

  it('serves other clients while a program does not read its input', async () => {
    const raw = await Raw.logIn(port);
    await raw.type("stty raw -echo; echo sleep''ing; exec sleep 1000\r", /sleeping/);
    raw.socket.write(Buffer.alloc(megabyte, 'x'));
    const other = await Raw.logIn(port);
    await other.type("echo a''live\r", /alive/);
  });

  it('makes a program wait while its client does not read, in constant memory', async () => {
    const { port, pid } = await ownServer();
    const flooded = await Raw.logIn(port);
    const before = residentMemory(pid);
    flooded.socket.pause();
    flooded.socket.write('exec yes\r');
    const other = await Raw.logIn(port);
    for (let round = 0; round < 50; round++)
      await other.type(`echo round$((${round} + 1))\r`, new RegExp(`round${round + 1}\r`));
    expect(residentMemory(pid) - before).toBeLessThan(50 * megabyte);
    flooded.socket.resume();
    while (flooded.received.length < 10 * megabyte) await once(flooded.socket, 'data');
    expect(flooded.received.text.slice(-4_000)).toMatch(/^[\ny\r]*(y\r\n){1000}[y\r]*$/);
  });

  it('sends a slow client the last output of a program that ended long ago', async () => {
    const environment = { TERM: 'dumb', PATH: process.env['PATH'] ?? '' };
    const command = { file: 'sh', args: ['-c', 'head -c 3000 /dev/zero | tr "\\0" x'], folder: '/', environment };
    const terminal = new Terminal(command, { rows: 24, columns: 80 });
    await delay(500); // node-pty closes a terminal 200 ms after its program has ended.
    let length = 0;
    for await (const chunk of terminal.output()) {
      length += chunk.length;
      await delay(50);
    }
    await terminal.ended;
    expect(length).toBe(3_000);
  });

  it('ends a session with its shell, even if a background program has the terminal open', async () => {
    const raw = await Raw.logIn(port);
    const [, pid] = await raw.type('sleep 1000 & echo pid $!\r', /pid (\d+)\r/);
    onTestFinished(() => void process.kill(Number(pid)));
    await raw.type('exit\r', /logout/);
    await once(raw.socket, 'close');
  });

  it('hangs up a program whose client has disconnected', async () => {
    const raw = await Raw.logIn(port);
    const [, shell] = await raw.type('echo pid $$; sleep 1000\r', /pid (\d+)\r/);
    raw.socket.resetAndDestroy();
    await gone(Number(shell));
  });

  it('kills a program that ignores the hangup', async () => {
    const raw = await Raw.logIn(port);
    const [, shell] = await raw.type(
      `exec sh -c 'trap "" HUP; echo pid $$; while :; do sleep 1; done'\r`,
      /pid (\d+)\r/,
    );
    raw.socket.end();
    await once(raw.socket, 'close');
    await gone(Number(shell));
  });

  it('gives a program no descriptor of other sessions', async () => {
    const sessions = await Promise.all(Array.from({ length: 3 }, () => Raw.logIn(port)));
    // The fourth descriptor belongs to `ls` itself, for the folder that it lists.
    for (const raw of sessions) await raw.type('echo $(ls /proc/self/fd) are open\r', /\s0 1 2 3 are open\r/);
  });

  it('serves twenty sessions at once', async () => {
    const sessions = await Promise.all(Array.from({ length: 20 }, () => Raw.logIn(port)));
    await Promise.all(
      sessions.map((raw, index) => raw.type(`echo is $((${index} * 111))\r`, new RegExp(`is ${index * 111}\r`))),
    );
    await Promise.all(
      sessions.map((raw) => {
        raw.socket.write('exit\r');
        return once(raw.socket, 'close');
      }),
    );
  });

  it.each([
    ['another protocol', 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(10), /this is not rlogin/],
    ['a handshake without its first NUL', 'ann\0ann\0ann\0xterm/9600\0', /this is not rlogin/],
    ['an option as a name', '\0ann\0-froot\0xterm/9600\0', /the name of the user is not valid/],
    ['a name with a space', '\0ann\0a b\0xterm/9600\0', /the name of the user is not valid/],
    ['an empty name', '\0ann\0\0xterm/9600\0', /the name of the user is not valid/],
    ['a local name with an escape sequence', '\0\x1b[2J\0ann\0xterm/9600\0', /the name of the local user is not valid/],
    ['a terminal with a path', '\0ann\0ann\0../../etc/x/9600\0', /the type of the terminal is not valid/],
    ['a field without an end', `\0${'a'.repeat(megabyte)}`, /this is not rlogin/],
  ])('refuses %s', async (_, sent, reason) => {
    const raw = Raw.connect(port);
    raw.socket.write(sent);
    const [answer] = await raw.received.until(/^[^]*\n$/);
    expect(answer).toMatch(reason);
    expect(answer.startsWith('\x01rlogin-server: ')).toBe(true);
    raw.socket.end();
    await once(raw.socket, 'close');
  });

  it('survives clients that disconnect in the middle of their handshake', async () => {
    for (const sent of ['', '\0', '\0ann\0', '\0ann\0ann\0xterm']) {
      const raw = Raw.connect(port);
      raw.socket.end(sent);
      await once(raw.socket, 'close');
    }
    for (let times = 0; times < 20; times++) {
      const raw = Raw.connect(port);
      raw.socket.write(`\0ann\0${me}\0xterm/9600\0`);
      await once(raw.socket, 'connect');
      raw.socket.resetAndDestroy();
    }
    await Raw.logIn(port);
  });

  it('times out a client that is slow with its handshake', async () => {
    await slow.received.until(/^.rlogin-server: the handshake took too long/);
  });

  it('serves other clients while a hundred clients are silent', async () => {
    const { port } = await ownServer();
    const silent = Array.from({ length: 100 }, () => Raw.connect(port));
    await Promise.all(silent.map((raw) => once(raw.socket, 'connect')));
    await Raw.logIn(port);
  });

  it('at SIGTERM, ends a program that does not read its input and ignores the hangup', async () => {
    const { port, program } = await ownServer();
    const raw = await Raw.logIn(port);
    const [, pid] = await raw.type(
      `stty raw -echo; exec sh -c 'trap "" HUP; echo pid $$; while :; do sleep 1; done'\r`,
      /pid (\d+)\r?\n/,
    );
    raw.socket.write(Buffer.alloc(16 * megabyte, 'x'));
    const started = Date.now();
    expect(await program.interrupt('SIGTERM')).toBe(0);
    expect(Date.now() - started).toBeLessThan(10_000);
    expect(isRunning(Number(pid))).toBe(false);
  });

  it('at SIGTERM, hangs up its sessions and exits with 0 within ten seconds', async () => {
    const { port, program } = await ownServer();
    const [polite, stubborn] = await Promise.all([Raw.logIn(port), Raw.logIn(port)]);
    const pids = [
      await polite.type('echo pid $$\r', /pid (\d+)\r/),
      await stubborn.type(`exec sh -c 'trap "" HUP; echo pid $$; while :; do sleep 1; done'\r`, /pid (\d+)\r/),
    ].map(([, pid]) => Number(pid));
    const started = Date.now();
    expect(await program.interrupt('SIGTERM')).toBe(0);
    expect(Date.now() - started).toBeLessThan(10_000);
    expect(pids.filter(isRunning)).toEqual([]);
  });

  it.each([[[]], [['udp://nowhere']]])('prints its usage for %j', async (args) => {
    const { program } = start([...server, ...args]);
    expect(await program.ended).toBe(2);
    expect(program.errors).toMatch(/usage: .* ADDRESS/);
  });

  describe.runIf(isRoot)('asks for a password', () => {
    const nobody = ['setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups'];

    it.each([me, 'daemon'])('if another user of the machine wants to be %s', async (user) => {
      const screen = new Screen([...nobody, ...client, address, user]);
      await screen.until(/password:/i);
    });

    it('if a link to a private file replaces a unix socket that is open to everybody', async () => {
      const folder = await freshFolder();
      const [path, moved, secret] = ['socket', 'moved', 'secret'].map((name) => join(folder, name)) as [
        string,
        string,
        string,
      ];
      await ownServer(`unix:${path}`);
      await chmod(path, 0o666);
      await writeFile(secret, '', { mode: 0o600 });
      await rename(path, moved);
      await symlink(secret, path);
      const screen = new Screen([...client, `unix:${moved}`, me]);
      await screen.until(/password:/i);
    });

    it.runIf(canAsk)('if another user has passed a socket to a program of root', async () => {
      const script = `
import os, socket, sys
ours, theirs = socket.socketpair()
if os.fork() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    connection = socket.socket()
    connection.connect(("127.0.0.1", int(sys.argv[1])))
    socket.send_fds(theirs, [b"x"], [connection.fileno()])
    os._exit(0)
os.wait()
_, [descriptor], _, _ = socket.recv_fds(ours, 1, 1)
connection = socket.socket(fileno=descriptor)
connection.send(b"\\0ann\\0" + sys.argv[2].encode() + b"\\0dumb/9600\\0")
while chunk := connection.recv(4096):
    os.write(1, chunk)
`;
      const screen = new Screen(['python3', '-c', script, String(port), me]);
      await screen.until(/password:/i);
    });

    it('if the client runs as root, but the server does not', async () => {
      const { address } = await ownServer('tcp://127.0.0.1:0', nobody);
      const screen = new Screen([...client, address, 'daemon']);
      await screen.until(/password:/i);
    });
  });
});

describe.runIf(isRoot)('rlogin-server.ts at port 513', () => {
  // netkit-rlogin has no option for the port.
  const host = `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${randomInt(1, 255)}`;
  let server513: ReturnType<typeof start>;
  beforeAll(async () => {
    server513 = start([...server, `tcp://${host}:513`]);
    await server513.program.until(/^.+$/m);
  });
  afterAll(() => server513.program.interrupt('SIGTERM'));

  for (const name of ['rsh-redone-rlogin', 'netkit-rlogin'] as const) {
    describeWith(`with ${name}`, [name, 'python3'], ([rlogin]) => {
      it('has a real terminal', async () => {
        const screen = new Screen([rlogin, '-l', me, host]);
        await use(screen);
        expect(await screen.ended).toBe(0);
      });

      it('prints ten megabytes', () => printTenMegabytes(new Screen([rlogin, '-l', me, host])));
    });
  }
});

describeWith('plink with rlogin-server.ts', ['plink', 'python3'], ([plink]) => {
  const command = (port: number): string[] => [plink, '-rlogin', '-batch', '-P', String(port), `${me}@127.0.0.1`];

  it('has a real terminal', async () => {
    const screen = new Screen(command(port));
    await use(screen, { isRaw: false }); // plink leaves its own terminal as it is, so Ctrl-C ends plink
    expect(await screen.ended).toBe(0);
  });

  it('prints ten megabytes', async () => {
    await printTenMegabytes(new Screen(command(port)));
  });
});

function residentMemory(pid: number): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
  return Number(kilobytes) * 1_024;
}
