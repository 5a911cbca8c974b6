import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The time limit for a program to answer or end, in ms. */
const patience = 20_000;

/** The time limit for a program that exchanges millions of messages, in ms. */
const longPatience = 120_000;

export interface Native {
  readonly load: string;
  readonly limit: string;
  readonly awake: string;
}

/**
 * Compiles the C programs into `folder`. If there is no C compiler, or if the system is not Linux, prints the reason
 * and returns undefined.
 */
export async function compile(folder: string): Promise<Native | undefined> {
  const compiler = process.env['CC'] ?? 'cc';
  const native: Native = { load: `${folder}/load`, limit: `${folder}/limit`, awake: `${folder}/awake` };
  try {
    await run(compiler, ['--version']);
  } catch {
    console.log(`Skipped: the load generator needs a C compiler (tried: ${compiler}; set the variable CC to use a different one).
A load generator in JavaScript would be slower than the servers it measures.`);
    return undefined;
  }
  if (process.platform !== 'linux') {
    console.log('Skipped: the load generator needs epoll, which only Linux has.');
    return undefined;
  }
  for (const [name, program] of Object.entries(native) as [string, string][]) {
    await run(compiler, ['-O2', '-o', program, fileURLToPath(new URL(`native/${name}.c`, import.meta.url))]);
  }
  return native;
}

/** A program that answers with lines of JSON, and ends when its input ends. */
class Talker {
  protected readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  constructor(command: string, args: readonly string[] = []) {
    const env = { ...process.env, NODE_OPTIONS: '' };
    this.child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env });
    // If the program has ended, a write fails. This handler ignores the error of the write, because `answer` then
    // throws an error.
    this.child.stdin!.on('error', () => undefined);
    this.lines = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  protected async answer(): Promise<Record<string, unknown>> {
    const late = setTimeout(() => this.child.kill('SIGKILL'), patience);
    const line = await this.lines.next();
    clearTimeout(late);
    if (line.done === true) throw new Error(`${this.child.spawnargs.join(' ')} has ended`);
    return JSON.parse(line.value) as Record<string, unknown>;
  }

  protected ask(question: string): Promise<Record<string, unknown>> {
    this.child.stdin!.write(`${question}\n`);
    return this.answer();
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const late = setTimeout(() => this.child.kill('SIGKILL'), patience);
    await new Promise((resolve) => {
      this.child.once('exit', resolve);
      this.child.stdin!.end();
    });
    clearTimeout(late);
  }
}

export class ServerProcess extends Talker {
  address = '';
  private answers = true;

  /**
   * Starts a server for work of the kind `kind`. `program` is a JavaScript module or a C program, and `where` is `tcp`
   * or `unix:<path>`.
   */
  static async start(program: string, kind: string, where: string): Promise<ServerProcess> {
    const server = program.endsWith('.js')
      ? new ServerProcess(process.execPath, [program, kind, where])
      : new ServerProcess(program, [limitKind(kind), where]);
    server.answers = program.endsWith('.js');
    server.address = String((await server.answer())['address']);
    return server;
  }

  /** Returns the server's resident memory after a garbage collection, in bytes. */
  async memory(): Promise<number> {
    return Number((await this.ask('memory'))['rss']);
  }

  /** Returns the processor time that the server has used so far, in microseconds. */
  async cpu(): Promise<number> {
    // The C server answers no questions. The C server has only one thread, and the system reports the time of that
    // thread.
    if (!this.answers) return Number((await readFile(`/proc/${this.child.pid}/schedstat`, 'utf8')).split(' ')[0]) / 1e3;
    const { user, system } = await this.ask('cpu');
    return Number(user) + Number(system);
  }
}

/** Returns the kind of work for the C server, which echoes every kind of message in the same way. */
function limitKind(kind: string): string {
  return kind === 'sink' ? 'sink' : kind === 'fanout' || kind === 'channels' ? 'fanout' : 'echo';
}

/** Many open connections without traffic. */
export class IdleClients extends Talker {
  static async open(native: Native, address: string, connections: number): Promise<IdleClients> {
    const clients = new IdleClients(native.load, ['idle', address, `connections=${connections}`]);
    await clients.answer();
    return clients;
  }
}

export class Exchange extends Talker {
  static async open(native: Native, mode: string, address: string, args: readonly string[]): Promise<Exchange> {
    const exchange = new Exchange(native.load, [mode, address, ...args]);
    await exchange.answer();
    return exchange;
  }

  /** Makes the server echo `messages` messages on each connection, or send `messages` messages to all members. */
  async run(messages: number): Promise<void> {
    await this.ask(String(messages));
  }
}

export class Awake extends Talker {
  static async start(native: Native): Promise<Awake> {
    const awake = new Awake(native.awake);
    await awake.answer();
    return awake;
  }
}

export type Answer = Readonly<Record<string, number>>;

/** Runs the load generator once, for `seconds` seconds, and returns its answer. */
export async function load(native: Native, address: string, args: readonly string[], seconds: number): Promise<Answer> {
  const [mode = '', ...options] = args;
  const timeout = patience + 2_000 * seconds;
  const { stdout } = await run(native.load, [mode, address, ...options, `seconds=${seconds}`], { timeout });
  return JSON.parse(stdout) as Answer;
}

/** Runs the load generator until it has done the work in `args`. */
export async function once(native: Native, mode: string, address: string, args: readonly string[]): Promise<void> {
  await run(native.load, [mode, address, ...args], { timeout: longPatience });
}
