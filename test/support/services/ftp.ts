/** The FTP server as a program and in this process, and a scripted client. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, rmSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { firstValueFrom } from 'rxjs';
import { type Address, type AddressInput, listen, type ListenOptions, parseAddress, serve } from 'rxjs-sockets';
import { onTestFinished } from 'vitest';
import { type Command, control } from '../../../examples/services/ftp-server/control.js';
import { Folder } from '../../../examples/services/ftp-server/folder.js';
import { Session } from '../../../examples/services/ftp-server/session.js';
import { type Limits, type Settings, usualLimits } from '../../../examples/services/ftp-server/settings.js';
import { Program } from '../../examples/program.js';
import { type ByteRecording, recordStream } from '../recording/record-bytes.js';
import { server as identity } from '../transport/node/tls/certificates.js';
import { file } from '../transport/node/tls/certificates.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));

export type TcpAddress = Extract<Address, { transport: 'tcp' }>;

export const withTls = ['--tls', file('server.key'), file('server.pem')];

let bundles: Promise<string> | undefined;

/** Runs the server or the client program. Both are compiled once per test file, because compiling takes long. */
export async function ftpProgram(
  name: 'ftp' | 'ftp-server',
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): Promise<Program> {
  bundles ??= bundle();
  return new Program(start(process.execPath, [join(await bundles, `${name}.mjs`), ...args], environment));
}

async function bundle(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'rxjs-sockets-'));
  process.once('exit', () => rmSync(folder, { recursive: true }));
  await build({
    entryPoints: ['ftp', 'ftp-server'].map((name) => join(root, 'examples/services', `${name}.ts`)),
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    conditions: ['rxjs-sockets-source'],
    logLevel: 'error',
  });
  return folder;
}

export async function startServer(
  address: string,
  folder: string,
  ...options: string[]
): Promise<{ server: Program; address: string; port: number }> {
  const server = await ftpProgram('ftp-server', [address, folder, ...options]);
  const [bound] = await server.until(/^.+(?=\n)/);
  const parsed = parseAddress(bound);
  return { server, address: bound, port: parsed.transport === 'tcp' ? parsed.port : 0 };
}

/** Serves a folder from this process, so that a test can set the limits. */
export async function serveFolder(
  path: string,
  { limits, ...settings }: Partial<Omit<Settings, 'limits'>> & { readonly limits?: Partial<Limits> } = {},
  address: AddressInput = { port: 0 },
  options: ListenOptions<Command, string> = {},
): Promise<Address> {
  const stopping = new AbortController();
  const folder = await Folder.open(path);
  const all: Settings = {
    folder,
    login: undefined,
    tls: undefined,
    ports: [0, 0],
    stopping: stopping.signal,
    ...settings,
    limits: { ...usualLimits, ...limits },
  };
  const server = listen<Command, string>(address, { codec: control, ...options });
  const bound = firstValueFrom(server.listening);
  const subscription = server.pipe(serve((connection) => new Session(connection, all).run())).subscribe();
  onTestFinished(async () => {
    subscription.unsubscribe();
    for (const connection of server.connections) connection.destroy();
    await folder.close();
  });
  return bound;
}

export const sessionTls: Settings['tls'] = { control: identity, data: { ...identity, isServer: true } };

export async function run(
  path: string,
  args: readonly string[],
  { input = '', environment = {} }: { input?: string; environment?: NodeJS.ProcessEnv } = {},
): Promise<{ status: number | string; output: string; errors: string }> {
  const child = start(path, args, environment);
  child.stdin?.end(input);
  let [output, errors] = ['', ''];
  child.stdout?.setEncoding('latin1').on('data', (text: string) => (output += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const status = await new Promise<number | string>((resolve) => {
    child.on('close', (code, signal) => resolve(code ?? signal ?? 'nothing'));
  });
  return { status, output: Buffer.from(output, 'latin1').toString(), errors };
}

/** Starts a program that is killed at the end of the test. */
export function start(
  path: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
  stdio: 'pipe' | 'ignore' = 'pipe',
): ChildProcess {
  const child = spawn(path, args, { env: { ...process.env, ...environment }, stdio });
  child.stdin?.on('error', () => undefined);
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  return child;
}

/** Writes a file of random bytes, and returns its hash. */
export async function randomFile(path: string, size: number): Promise<string> {
  const bytes = randomBytes(size);
  await writeFile(path, bytes);
  return createHash('sha256').update(bytes).digest('hex');
}

export async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

export class RawClient {
  socket: net.Socket;
  private received: ByteRecording;
  /** How many bytes were read as replies. */
  private taken = 0;

  private constructor(socket: net.Socket) {
    this.socket = socket;
    this.received = recordStream(socket);
    onTestFinished(() => {
      this.socket.destroy();
      socket.destroy();
    });
  }

  /** Connects, and reads the greeting. */
  static async open(address: Address): Promise<RawClient> {
    const where = address.transport === 'unix' ? { path: address.path } : (address as TcpAddress);
    const client = new RawClient(net.connect({ ...where, allowHalfOpen: true } as net.NetConnectOpts));
    await client.reply();
    return client;
  }

  static async logIn(address: Address, ...commands: string[]): Promise<RawClient> {
    const client = await RawClient.open(address);
    for (const command of ['USER somebody', 'PASS secret', 'TYPE I', ...commands]) await client.ask(command);
    return client;
  }

  send(bytes: string | Buffer): void {
    this.socket.write(bytes);
  }

  async ask(command: string): Promise<string> {
    this.send(`${command}\r\n`);
    return this.reply();
  }

  /** Waits for a complete reply, and returns its lines, joined. Returns `'end'` if the connection has ended. */
  async reply(): Promise<string> {
    const reply = /^(?:\d{3} .*|(\d{3})-[^]*?\n\1 .*)\r\n/;
    const match = await this.received.until(reply, this.taken).catch(() => undefined);
    if (match === undefined) return 'end';
    this.taken += match[0].length;
    return Buffer.from(match[0], 'latin1').toString().trimEnd();
  }

  /** Sends EPSV, and connects to the port in the reply. */
  async openData(localAddress = '127.0.0.1'): Promise<net.Socket> {
    return dial(await this.listen(), localAddress);
  }

  /** Sends EPSV, and returns the port in the reply. */
  async listen(): Promise<number> {
    return Number(/\|\|\|(\d+)\|/.exec(await this.ask('EPSV'))?.[1]);
  }

  async startTls(): Promise<void> {
    this.socket.removeAllListeners('data');
    const secure = tls.connect({ socket: this.socket, rejectUnauthorized: false });
    this.socket = secure;
    this.received = recordStream(secure);
    this.taken = 0;
    await new Promise((resolve) => secure.once('secureConnect', resolve));
  }
}

/** Connects to a port of this machine. A refused or reset connection counts as closed. */
export async function dial(port: number, localAddress = '127.0.0.1'): Promise<net.Socket> {
  const socket = net.connect({ port, host: '127.0.0.1', localAddress, allowHalfOpen: true });
  socket.on('error', () => undefined);
  onTestFinished(() => {
    socket.destroy();
  });
  await new Promise<void>((resolve) => {
    socket.once('connect', resolve).once('close', () => resolve());
  });
  return socket;
}

export async function readAll(socket: net.Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await new Promise<void>((resolve) => {
    if (socket.readableEnded || socket.destroyed) resolve();
    else socket.once('end', resolve).once('close', () => resolve());
  });
  return Buffer.concat(chunks).toString('latin1');
}
