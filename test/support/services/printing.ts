/** Print jobs, the programs that send them, and the folder where they arrive. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished } from 'vitest';
import { type ByteRecording, recordStream } from '../recording/record-bytes.js';

export interface Outcome {
  readonly status: number | NodeJS.Signals | null;
  readonly output: string;
}

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** The standard input, which is empty by default. */
  readonly input?: Uint8Array;
  /** Whether the program gets pipes as descriptors 3 and 4. CUPS talks to its backends over such pipes. */
  readonly sideChannel?: boolean;
}

/** Runs a program to its end. A program that still runs at the end of the test is killed. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { env, input, sideChannel = false } = options;
  const pipes = ['pipe' as const, 'pipe' as const, 'pipe' as const];
  const child = spawn(program, args, {
    env: { ...process.env, ...env },
    stdio: sideChannel ? [...pipes, 'pipe', 'pipe'] : pipes,
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  child.stdin?.on('error', () => undefined).end(input);
  return new Promise((resolve, reject) => {
    child.on('error', reject).on('close', (status, signal) => resolve({ status: status ?? signal, output }));
  });
}

/**
 * Returns a copy of one of LPRng's programs, in a separate folder. LPRng reads `/etc/lprng/lpd.conf`, and has no option
 * for a different path. That file does not exist here. So the copy contains a different path of the same length.
 */
export async function lprng(program: string, spool?: string): Promise<string> {
  const compiledIn = '/etc/lprng/lpd.conf';
  const folder = await mkdtemp('/tmp/lp-');
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await chmod(folder, 0o755); // lpd continues as a different user.
  const settings = {
    printcap_path: join(folder, 'printcap'),
    lpd_printcap_path: join(folder, 'printcap'),
    perms_path: join(folder, 'perms'),
    lockfile: join(spool ?? folder, 'lock'),
    unix_socket_path: join(spool ?? folder, 'socket'),
    server_user: 'daemon',
    lpr_send_try: '1', // By default, lpr waits ten seconds and tries again.
  };
  const text = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`);
  const path = join(folder, 'conf');
  if (path.length !== compiledIn.length) throw new Error(`${path} is not as long as ${compiledIn}`);
  await writeFile(path, text.join(''));
  await writeFile(settings.printcap_path, spool === undefined ? '' : `lp:sd=${join(spool, 'lp')}:lp=/dev/null:sh\n`);
  await writeFile(settings.perms_path, 'DEFAULT ACCEPT\n');
  const bytes = await readFile(program);
  const at = bytes.indexOf(compiledIn);
  if (at === -1) throw new Error(`${program} has no ${compiledIn} in it`);
  bytes.write(path, at);
  const copy = join(folder, 'program');
  await writeFile(copy, bytes, { mode: 0o755 });
  return copy;
}

/** The queue of a spool folder, as a user sees it. */
export class PrintedQueue {
  readonly folder: string;

  constructor(spool: string, name: string) {
    this.folder = join(spool, name);
  }

  /** The names of all files, including hidden files. */
  async files(): Promise<string[]> {
    return (await readdir(this.folder).catch(() => [])).sort();
  }

  /** The titles of the documents, and the names of hidden files and of files that are not jobs. */
  async titles(): Promise<string[]> {
    return (await this.files()).map((name) =>
      decodeURIComponent(/^\d+-\d+_\d{3}_[^_]+_[^_]+_(.*)$/.exec(name)?.[1] ?? name),
    );
  }

  /** The hashes of all files that look finished. */
  async hashes(): Promise<string[]> {
    const names = (await this.files()).filter((name) => !name.startsWith('.'));
    const contents = names.map(async (name) => hash(await readFile(join(this.folder, name))));
    return (await Promise.all(contents)).sort();
  }
}

export function hash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The bytes of a client that prints one job without waiting for answers. */
export interface JobBytes {
  readonly queue: string;
  readonly number?: string;
  readonly user?: string;
  readonly title?: string;
  readonly documents: readonly Uint8Array[];
  readonly order?: 'control first' | 'data first';
  /** The size to announce for each document, instead of its real size. No document may then contain a zero byte. */
  readonly announced?: number;
}

export function controlFile({
  number = '042',
  user = 'ann',
  title = 'title',
  documents,
}: Omit<JobBytes, 'queue'>): Buffer {
  const files = documents.map((_, index) => `df${String.fromCharCode(65 + index)}${number}client`);
  const lines = ['Hclient', `P${user}`, ...files.flatMap((file) => [`l${file}`, `U${file}`, `N${title}`]), ''];
  return Buffer.from(lines.join('\n'));
}

export function jobBytes(job: JobBytes): Buffer {
  const { queue, number = '042', documents, order = 'control first', announced } = job;
  const control = controlFile(job);
  const first = Buffer.concat([Buffer.from(`\x02${control.length} cfA${number}client\n`), control, Buffer.of(0)]);
  const second = documents.flatMap((document, index) => [
    Buffer.from(`\x03${announced ?? document.length} df${String.fromCharCode(65 + index)}${number}client\n`),
    document,
    Buffer.alloc(announced === undefined ? 1 : 0),
  ]);
  const steps = order === 'control first' ? [first, ...second] : [...second, first];
  return Buffer.concat([Buffer.from(`\x02${queue}\n`), ...steps]);
}

export class PlainClient {
  readonly socket: net.Socket;
  /** How the connection ended, and everything received. Never rejects. */
  readonly ended: Promise<{ readonly received: string; readonly error: string | undefined }>;
  private readonly received: ByteRecording;

  constructor(where: net.NetConnectOpts) {
    this.socket = net.connect({ ...where, allowHalfOpen: true });
    this.received = recordStream(this.socket);
    let error: string | undefined;
    this.socket.on('error', (cause: NodeJS.ErrnoException) => {
      error = cause.code;
    });
    this.socket.on('end', () => this.socket.end());
    this.ended = new Promise((resolve) => {
      this.socket.on('close', () => resolve({ received: this.received.text, error }));
    });
    onTestFinished(() => {
      this.socket.destroy();
    });
  }

  /** Sends `words`, waits for `bytes` bytes in total or for the end, and returns everything received. */
  async ask(words: Uint8Array | string, bytes: number): Promise<string> {
    this.socket.write(words);
    await this.received.atLeast(bytes);
    return this.received.text;
  }

  /** Sends the last bytes, and waits for the end. */
  async finish(words: Uint8Array | string = ''): Promise<string> {
    this.socket.end(words);
    return (await this.ended).received;
  }
}

/** Creates a spool folder for LPRng's lpd. Its queue `lp` is not printed. */
export async function lprngSpool(folder: string): Promise<void> {
  await mkdir(join(folder, 'lp'));
  await writeFile(join(folder, 'lp/control.pr'), 'printing_disabled=0x1\n');
}

/** Ends the lpd of this spool folder. The lpd runs in the background, and is not a child of this process. */
export async function endDaemon(folder: string): Promise<void> {
  const lock = (await readdir(folder)).find((name) => name.startsWith('lock'));
  const pid = Number(await readFile(join(folder, lock ?? ''), 'utf8'));
  process.kill(pid, 'SIGTERM');
  await expect.poll(() => isAlive(pid)).toBe(false);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

export const root = fileURLToPath(new URL('../../..', import.meta.url));
