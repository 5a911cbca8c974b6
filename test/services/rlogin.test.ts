/** Remote login: the clients that people have against our server, and our client against the server that they have. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { chmod, rename, symlink, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { Terminal } from '../../examples/services/rlogin/terminal.js';
import { Program } from '../examples/program.js';
import { freshFolder } from '../support/transport/places.js';
import { describeWith, peer } from '../support/processes/programs.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const node = [process.execPath, '--import', 'tsx', '--conditions=rxjs-sockets-source'];
const client = [...node, 'examples/services/rlogin.ts'];
const server = [...node, 'examples/services/rlogin-server.ts'];
const me = userInfo().username;
const isRoot = process.getuid?.() === 0;
const canAsk = process.platform === 'linux' && peer('python3') !== undefined;
const home = mkdtempSync(join(tmpdir(), 'home-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));
const megabyte = 1_048_576;

/** What has been received so far, and waiting for more. */
class Received {
  isOver = false;
  length = 0;
  private readonly chunks: Buffer[] = [];
  private readonly watchers = new Set<() => void>();

  get bytes(): Buffer {
    if (this.chunks.length > 1) this.chunks.splice(0, Infinity, Buffer.concat(this.chunks));
    return this.chunks[0] ?? Buffer.alloc(0);
  }

  push(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.length += chunk.length;
    this.look();
  }

  end(): void {
    this.isOver = true;
    this.look();
  }

  /** Waits until what comes from `from` on matches, and gives the match; fails if it ends before that. */
  until(pattern: RegExp, from = 0): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const match = pattern.exec(this.bytes.toString('latin1', from));
        if (match === null && !this.isOver) return;
        this.watchers.delete(look);
        if (match !== null) resolve(match);
        else reject(new Error(`it ended without ${String(pattern)}: ${this.bytes.toString('latin1').slice(-1_000)}`));
      };
      this.watchers.add(look);
      look();
    });
  }

  private look(): void {
    for (const look of [...this.watchers]) look();
  }
}

/** A program at a terminal, as a person has it on the screen. */
class Screen {
  readonly output = new Received();
  readonly ended: Promise<number>;
  private readonly terminal: Terminal;

  constructor([file = '', ...args]: readonly string[]) {
    const environment = { ...(process.env as Record<string, string>), TERM: 'xterm', HOME: home };
    this.terminal = new Terminal({ file, args, folder: root, environment }, { rows: 33, columns: 90 });
    this.ended = this.record();
    onTestFinished(() => void this.terminal.hangUp());
  }

  /** Types something, and waits for what it brings about. */
  async type(keys: string, pattern = /(?:)/): Promise<RegExpExecArray> {
    const from = this.output.length;
    await this.terminal.write(Buffer.from(keys));
    return this.until(pattern, from);
  }

  resize(columns: number, rows: number): void {
    this.terminal.resize({ columns, rows });
  }

  until(pattern: RegExp, from = 0): Promise<RegExpExecArray> {
    return this.output.until(pattern, from);
  }

  private async record(): Promise<number> {
    for await (const chunk of this.terminal.output()) this.output.push(chunk);
    this.output.end();
    return this.terminal.ended;
  }
}

/** A shell's prompt, which ends with `$ ` or `# ` and maybe an escape sequence. */
const prompt = /[$#] [^\n]*$/;

function start(command: readonly string[]): { program: Program; child: ChildProcess } {
  const [file = '', ...args] = command;
  // A shell that the server starts shall not depend on what the home of whoever runs the tests has it do.
  const env = { ...process.env, HOME: home };
  const child = spawn(file, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
  return { program: new Program(child), child };
}

/** A server of the test's own. */
async function ownServer(
  address = 'tcp://127.0.0.1:0',
  as: readonly string[] = [],
): Promise<{ address: string; port: number; program: Program; pid: number }> {
  const { program, child } = start([...as, ...server, address]);
  onTestFinished(() => void child.kill('SIGKILL'));
  const [bound] = await program.until(/^.+$/m);
  return { address: bound, port: portOf(bound), program, pid: child.pid ?? 0 };
}

function portOf(address: string): number {
  return Number(/\d+$/.exec(address)?.[0]);
}

/** A client that does what the test wants, down to the bytes. */
class Raw {
  readonly received = new Received();
  readonly socket: net.Socket;

  constructor(port: number) {
    this.socket = net.connect({ port, host: '127.0.0.1' });
    this.socket.on('error', () => undefined);
    this.socket.on('data', (data: Buffer) => this.received.push(data));
    this.socket.on('close', () => this.received.end());
  }

  /** Connects for the time of one test. */
  static connect(port: number): Raw {
    const raw = new Raw(port);
    onTestFinished(() => void raw.socket.destroy());
    return raw;
  }

  static async logIn(port: number, user = me): Promise<Raw> {
    const raw = Raw.connect(port);
    raw.socket.write(`\0somebody\0${user}\0xterm/9600\0`);
    await raw.received.until(/^\0[^]*[$#] [^\n]*$/);
    return raw;
  }

  type(keys: string, pattern: RegExp): Promise<RegExpExecArray> {
    const from = this.received.length;
    this.socket.write(keys);
    return this.received.until(pattern, from);
  }
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

/** What a person does in a session, and what has to come of it. */
async function use(screen: Screen, { asksForSize = canAsk, isRaw = true } = {}): Promise<void> {
  await screen.until(prompt);
  await screen.type('tty\r', /\/dev\/pts\/\d+/);
  if (asksForSize) {
    await screen.type('stty size\r', /33 90/);
    screen.resize(101, 41);
    await screen.type('until [ "$(stty size)" = "41 101" ]; do sleep 0.05; done; stty size | tr " " x\r', /41x101/);
  }
  await screen.type('stty -a\r', /speed \d+ baud[^]*icanon/);
  if (isRaw) {
    await screen.type(`sh -c 'echo sleep""ing; exec sleep 1000'\r`, /sleeping/); // one job, which is there when it speaks
    await screen.type('\x03', prompt);
  }
  await screen.type('exit\r');
}

/** Has ten megabytes printed, and compares what arrives. */
async function printTenMegabytes(screen: Screen): Promise<void> {
  const text = randomBytes(5 * megabyte).toString('hex'); // no line end: a local terminal that is not raw would change it
  const file = join(await freshFolder(), 'file');
  await writeFile(file, text);
  await screen.until(prompt);
  await screen.type(`printf be''gin; cat ${file}; printf 'e'nd; exit\r`);
  await screen.ended;
  const all = screen.output.bytes.toString('latin1');
  const printed = all.slice(all.lastIndexOf('begin') + 5, all.lastIndexOf('end'));
  expect(printed).toHaveLength(text.length);
  expect(createHash('sha256').update(printed).digest('hex')).toBe(createHash('sha256').update(text).digest('hex'));
}

let shared: ReturnType<typeof start>;
let address: string;
let port: number;
/** A client that needs longer than it may for its handshake; the other tests go on meanwhile. */
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
  it('gives our own client a real terminal, and ends when the shell does', async () => {
    const screen = new Screen([...client, address, me]);
    await use(screen);
    expect(await screen.ended).toBe(0);
  });

  it('prints ten megabytes through our own client', () => printTenMegabytes(new Screen([...client, address, me])));

  it('listens on a unix socket as well', async () => {
    const { address } = await ownServer(`unix:${join(await freshFolder(), 'socket')}`);
    const screen = new Screen([...client, address, me]);
    await use(screen, { asksForSize: true }); // without urgent data: there the client does not wait for the question
    expect(await screen.ended).toBe(0);
  });

  it('works without python3, at the usual size', async () => {
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

  it('types and prints without a window size', async () => {
    const raw = await Raw.logIn(port);
    await raw.type('stty size; echo $TERM\r', /24 80\r\nxterm\r\n/);
    raw.socket.write('\xff\xffss\x00\x1e\x00\x50\x00\x00\x00\x00', 'latin1');
    await raw.type('until [ "$(stty size)" = "30 80" ]; do sleep 0.05; done; stty size | tr " " x\r', /30x80/);
    await raw.type('exit\r', /logout|exit/);
    await once(raw.socket, 'close');
  });

  it('takes a window size that comes in pieces for what it is, and bytes like its beginning for keys', async () => {
    const raw = await Raw.logIn(port);
    await raw.type("stty raw -echo; echo re''ady; head -c 4 | od -An -tx1; stty sane\r", /ready\r?\n/);
    for (const byte of Buffer.from('\xff\xffss\x00\x1f\x00\x50\x00\x00\x00\x00\xff\xffsx', 'latin1')) {
      raw.socket.write(Buffer.of(byte));
      await delay(1);
    }
    await raw.received.until(/ff ff 73 78/);
    await raw.type('stty size\r', /31 80/);
  });

  it('serves others while a program takes nothing of what is typed', async () => {
    const raw = await Raw.logIn(port);
    await raw.type("stty raw -echo; echo sleep''ing; exec sleep 1000\r", /sleeping/);
    raw.socket.write(Buffer.alloc(megabyte, 'x'));
    const other = await Raw.logIn(port);
    await other.type("echo a''live\r", /alive/);
  });

  it('holds a program back while its client does not read, in constant memory', async () => {
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
    expect(flooded.received.bytes.toString('latin1').slice(-4_000)).toMatch(/^[\ny\r]*(y\r\n){1000}[y\r]*$/);
  });

  it('gives a slow client the last output of a program that has ended long ago', async () => {
    const environment = { TERM: 'dumb', PATH: process.env['PATH'] ?? '' };
    const command = { file: 'sh', args: ['-c', 'head -c 3000 /dev/zero | tr "\\0" x'], folder: '/', environment };
    const terminal = new Terminal(command, { rows: 24, columns: 80 });
    await delay(500); // node-pty closes a terminal 200 ms after the exit
    let length = 0;
    for await (const chunk of terminal.output()) {
      length += chunk.length;
      await delay(50);
    }
    await terminal.ended;
    expect(length).toBe(3_000);
  });

  it('ends with the shell, though a program in the background has the terminal open', async () => {
    const raw = await Raw.logIn(port);
    const [, pid] = await raw.type('sleep 1000 & echo pid $!\r', /pid (\d+)\r/);
    onTestFinished(() => void process.kill(Number(pid)));
    await raw.type('exit\r', /logout/);
    await once(raw.socket, 'close');
  });

  it('hangs up a program whose client is lost', async () => {
    const raw = await Raw.logIn(port);
    const [, shell] = await raw.type('echo pid $$; sleep 1000\r', /pid (\d+)\r/);
    raw.socket.resetAndDestroy();
    await gone(Number(shell));
  });

  it('kills a program that does not mind being hung up', async () => {
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
    // Only `ls` itself has a fourth, for the folder that it lists.
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
    ['another protocol', 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(10), /this is no rlogin/],
    ['no NUL at the beginning', 'ann\0ann\0ann\0xterm/9600\0', /this is no rlogin/],
    ['an option as a name', '\0ann\0-froot\0xterm/9600\0', /the name of the user is not valid/],
    ['a name with a space', '\0ann\0a b\0xterm/9600\0', /the name of the user is not valid/],
    ['no name', '\0ann\0\0xterm/9600\0', /the name of the user is not valid/],
    ['a local name with an escape sequence', '\0\x1b[2J\0ann\0xterm/9600\0', /the name of the local user is not valid/],
    ['a terminal with a path', '\0ann\0ann\0../../etc/x/9600\0', /the type of the terminal is not valid/],
    ['a field without an end', `\0${'a'.repeat(megabyte)}`, /this is no rlogin/],
  ])('refuses %s', async (_, sent, reason) => {
    const raw = Raw.connect(port);
    raw.socket.write(sent);
    const [answer] = await raw.received.until(/^[^]*\n$/);
    expect(answer).toMatch(reason);
    expect(answer.startsWith('\x01rlogin-server: ')).toBe(true);
    raw.socket.end();
    await once(raw.socket, 'close');
  });

  it('survives clients that leave in the middle of their handshake', async () => {
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

  it('gives up a client that is slow with its handshake', async () => {
    await slow.received.until(/^.rlogin-server: the handshake took too long/);
  });

  it('serves others while a hundred clients say nothing', async () => {
    const { port } = await ownServer();
    const silent = Array.from({ length: 100 }, () => Raw.connect(port));
    await Promise.all(silent.map((raw) => once(raw.socket, 'connect')));
    await Raw.logIn(port);
  });

  it('hangs up a program at SIGTERM that takes nothing of what is typed, and does not mind', async () => {
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

  it('hangs up its sessions at SIGTERM, and ends with 0 within ten seconds', async () => {
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

    it.each([me, 'daemon'])('where another user of the machine wants to be %s', async (user) => {
      const screen = new Screen([...nobody, ...client, address, user]);
      await screen.until(/password:/i);
    });

    it('where a link to a private file is in the place of a unix socket that everybody may use', async () => {
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

    it.runIf(canAsk)('where another user has handed its socket to a program of root', async () => {
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

    it('where the server is not root, and its client is', async () => {
      const { address } = await ownServer('tcp://127.0.0.1:0', nobody);
      const screen = new Screen([...client, address, 'daemon']);
      await screen.until(/password:/i);
    });
  });
});

function residentMemory(pid: number): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
  return Number(kilobytes) * 1_024;
}

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
    await use(screen, { isRaw: false }); // it leaves its own terminal as it is, so that Ctrl-C ends plink
    expect(await screen.ended).toBe(0);
  });

  it('prints ten megabytes', async () => {
    await printTenMegabytes(new Screen(command(port)));
  });
});

describe('rlogin.ts', () => {
  it('ends at ~. at the beginning of a line, and leaves the terminal as it was', async () => {
    const session = `stty -g; ${[...client, address, me].join(' ')}; echo status $?; stty -g`;
    const screen = new Screen(['sh', '-c', session]);
    await screen.until(prompt);
    await screen.type("echo '~'. ~~\r~~\r~.", /status 0/);
    await screen.ended;
    const [first, last] = screen.output.bytes.toString('latin1').match(/^[0-9a-f:]{40,}\r$/gm) ?? [];
    expect(last).toBe(first);
  });

  it('leaves the terminal as it was where it is ended by a signal', async () => {
    const session = `stty -g; ${client.join(' ')} ${address} ${me} & echo pid $!; fg; echo status $?; stty -g`;
    const screen = new Screen(['sh', '-mc', session]);
    const [, pid] = await screen.until(/pid (\d+)/);
    await screen.until(/[$#] \S*$/);
    process.kill(Number(pid), 'SIGTERM');
    await screen.until(/status 143/);
    await screen.ended;
    const [first, last] = screen.output.bytes.toString('latin1').match(/^[0-9a-f:]{40,}\r$/gm) ?? [];
    expect(last).toBe(first);
  });

  it('types what it is given without a terminal', async () => {
    const child = spawn(process.execPath, [...client.slice(1), address, me], { cwd: root, stdio: 'pipe' });
    onTestFinished(() => void child.kill('SIGKILL'));
    const program = new Program(child);
    child.stdin.end('echo from $((6 * 7)) a pipe\nexit\n');
    expect(await program.ended).toBe(0);
    expect(program.output).toMatch(/from 42 a pipe/);
  });

  it('says what the server has against it', async () => {
    const refusing = net.createServer((socket) => socket.end('\x01\x1b[2JPermission denied.\r\n').resume());
    const port = await listening(refusing);
    const { program } = start([...client, `tcp://127.0.0.1:${port}`, me]);
    expect(await program.ended).toBe(1);
    expect(program.errors).toMatch(/has refused: \[2JPermission denied\.\n/);
  });

  it('reports a session that is cut off', async () => {
    const cutting = net.createServer((socket) =>
      socket.once('data', () => {
        socket.write('\0hello', () => socket.once('data', () => socket.resetAndDestroy()));
      }),
    );
    const port = await listening(cutting);
    const screen = new Screen([...client, `tcp://127.0.0.1:${port}`, me]);
    await screen.until(/hello/);
    await screen.type('\r', /ECONNRESET/);
    expect(await screen.ended).toBe(1);
  });

  it.each([[['tcp://127.0.0.1:1']], [['tcp://127.0.0.1:1', 'a b']], [['nonsense', 'ann']]])(
    'prints its usage for %j',
    async (args) => {
      const { program } = start([...client, ...args]);
      expect(await program.ended).toBe(2);
      expect(program.errors).toMatch(/usage: .* ADDRESS USER/);
    },
  );

  it('ends when it is refused, though the server keeps the connection open', async () => {
    const refusing = net.createServer((socket) => void socket.resume().write('\x01Permission denied.\r\n'));
    const port = await listening(refusing);
    const { program, child } = start([...client, `tcp://127.0.0.1:${port}`, me]);
    onTestFinished(() => void child.kill('SIGKILL'));
    expect(await program.ended).toBe(1);
    expect(program.errors).toMatch(/has refused: Permission denied/);
  });

  it('fails where nobody listens', async () => {
    const { program } = start([...client, 'tcp://127.0.0.1:1', 'ann']);
    expect(await program.ended).toBe(1);
    expect(program.errors).toMatch(/ECONNREFUSED/);
  });
});

async function listening(server: net.Server): Promise<number> {
  server.on('connection', (socket) => socket.on('error', () => undefined));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return (server.address() as net.AddressInfo).port;
}

const rlogind = 'rsh-redone-server/usr/sbin/in.rlogind';
describeWith('rlogin.ts with in.rlogind', [rlogind, 'python3', 'unshare'], ([rlogind]) => {
  describe.runIf(isRoot)('as inetd starts it', () => {
    /** The server runs with a PAM of its own, which lets everybody in. */
    async function inetd(): Promise<number> {
      const pam = await freshFolder();
      const open = ['auth', 'account', 'session'].map((kind) => `${kind} required pam_permit.so\n`).join('');
      for (const service of ['rlogin', 'login']) await writeFile(join(pam, service), open);
      const script = join(pam, 'inetd.py');
      await writeFile(
        script,
        `
import os, signal, socket, sys
os.system(f'mount --bind {sys.argv[2]} ~')  # a shell without what the tester's home has it do
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    connection, _ = listener.accept()
    if os.fork() == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for descriptor in (0, 1, 2):
            os.dup2(connection.fileno(), descriptor)
        os.execv(sys.argv[1], ["in.rlogind"])
    connection.close()
`,
      );
      const mounted = 'mount --bind "$0" /etc/pam.d && exec python3 "$1" "$2" "$3"';
      const { program, child } = start(['unshare', '--mount', 'sh', '-c', mounted, pam, script, rlogind, home]);
      onTestFinished(async () => {
        child.kill('SIGKILL');
        await program.ended;
      });
      const [port] = await program.until(/^\d+$/m);
      return Number(port);
    }

    it('has a real terminal, from a privileged port', async () => {
      const screen = new Screen([...client, `tcp://127.0.0.1:${await inetd()}`, me]);
      await use(screen);
      expect(await screen.ended).toBe(0);
      expect(screen.output.bytes.includes(0x80)).toBe(false);
    });

    it('prints ten megabytes', async () => {
      await printTenMegabytes(new Screen([...client, `tcp://127.0.0.1:${await inetd()}`, me]));
    });

    it('says that the server wants a privileged port where it has none', async () => {
      const nobody = ['setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups'];
      const { program } = start([...nobody, ...client, `tcp://127.0.0.1:${await inetd()}`, me]);
      expect(await program.ended).toBe(1);
      expect(program.errors).toMatch(/privileged ports only/);
    });
  });
});
