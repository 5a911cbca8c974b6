import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { from } from 'rxjs';
import { expect, onTestFinished } from 'vitest';
import { Terminal } from '../../../examples/services/rlogin/terminal.js';
import { Program } from '../../examples/program.js';
import { type ByteRecording, recordBytes, recordStream } from '../recording/record-bytes.js';
import { freshFolder } from '../transport/places.js';
import { peer } from '../processes/programs.js';

export const root = fileURLToPath(new URL('../../..', import.meta.url));

const node = [process.execPath, '--import', 'tsx', '--conditions=rxjs-sockets-source'];

export const client = [...node, 'examples/services/rlogin.ts'];

export const server = [...node, 'examples/services/rlogin-server.ts'];

export const me = userInfo().username;

export const isRoot = process.getuid?.() === 0;

export const canAsk = process.platform === 'linux' && peer('python3') !== undefined;

export const home = mkdtempSync(join(tmpdir(), 'home-'));

export const megabyte = 1_048_576;

/** A program at a terminal, as a user sees it on the screen. */
export class Screen {
  readonly output: ByteRecording;
  readonly ended: Promise<number>;
  private readonly terminal: Terminal;

  constructor([file = '', ...args]: readonly string[]) {
    const environment = { ...(process.env as Record<string, string>), TERM: 'xterm', HOME: home };
    this.terminal = new Terminal({ file, args, folder: root, environment }, { rows: 33, columns: 90 });
    this.output = recordBytes(from(this.terminal.output()));
    this.ended = this.untilEnded();
    onTestFinished(() => void this.terminal.hangUp());
  }

  /** Types `keys`, and waits for their effect. */
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

  private async untilEnded(): Promise<number> {
    const end = await this.output.end();
    if (end !== 'complete') throw end;
    return this.terminal.ended;
  }
}

/** A shell's prompt. It ends with `$ ` or `# `, perhaps followed by an escape sequence. */
export const prompt = /[$#] [^\n]*$/;

export function start(command: readonly string[]): { program: Program; child: ChildProcess } {
  const [file = '', ...args] = command;
  // The started shell must not depend on the home of the user who runs the tests.
  const env = { ...process.env, HOME: home };
  const child = spawn(file, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
  return { program: new Program(child), child };
}

export function portOf(address: string): number {
  return Number(/\d+$/.exec(address)?.[0]);
}

/** A client whose bytes the test controls. */
export class Raw {
  readonly received: ByteRecording;
  readonly socket: net.Socket;

  constructor(port: number) {
    this.socket = net.connect({ port, host: '127.0.0.1' });
    this.received = recordStream(this.socket);
  }

  /** Connects. The connection lasts until the end of the test. */
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

/** The actions of a user in a session, and the expected results. */
export async function use(screen: Screen, { asksForSize = canAsk, isRaw = true } = {}): Promise<void> {
  await screen.until(prompt);
  await screen.type('tty\r', /\/dev\/pts\/\d+/);
  if (asksForSize) {
    await screen.type('stty size\r', /33 90/);
    screen.resize(101, 41);
    await screen.type('until [ "$(stty size)" = "41 101" ]; do sleep 0.05; done; stty size | tr " " x\r', /41x101/);
  }
  await screen.type('stty -a\r', /speed \d+ baud[^]*icanon/);
  if (isRaw) {
    await screen.type(`sh -c 'echo sleep""ing; exec sleep 1000'\r`, /sleeping/); // The job exists once it has printed.
    await screen.type('\x03', prompt);
  }
  await screen.type('exit\r');
}

/** Prints ten megabytes, and compares them with what arrives. */
export async function printTenMegabytes(screen: Screen): Promise<void> {
  const text = randomBytes(5 * megabyte).toString('hex'); // No line end: a local terminal that is not raw would change it.
  const file = join(await freshFolder(), 'file');
  await writeFile(file, text);
  await screen.until(prompt);
  await screen.type(`printf be''gin; cat ${file}; printf 'e'nd; exit\r`);
  await screen.ended;
  const all = screen.output.text;
  const printed = all.slice(all.lastIndexOf('begin') + 5, all.lastIndexOf('end'));
  expect(printed).toHaveLength(text.length);
  expect(createHash('sha256').update(printed).digest('hex')).toBe(createHash('sha256').update(text).digest('hex'));
}
