import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';

/** The program of the Debian package haproxy, which scripts/install-peers.sh installs. */
const program = 'haproxy';

export const hasHaproxy = spawnSync(program, ['-v']).status === 0;

export const hasIPv6 = Object.values(networkInterfaces()).some((names) =>
  names?.some(({ address }) => address === '::1'),
);

/** The bytes that haproxy forwarded for one connection, and the port of its client. */
export interface Relayed {
  readonly bytes: Buffer;
  readonly port: number | undefined;
}

/** A frontend of haproxy, on TCP and unix sockets, and the plain server behind it. */
export interface Relay {
  /**
   * The addresses of the frontend. `dual` is a port for IPv4 and, if the machine has IPv6, for IPv6. `ipV4` is a port
   * for IPv4 alone. `path` is a unix socket.
   */
  readonly dual: number;
  readonly ipV4: number;
  readonly path: string;
  /** Sends `bytes` through haproxy, and returns what arrives, or `undefined` if haproxy drops the connection. */
  relayed(where: { host: string; port: number } | { path: string }, bytes: Uint8Array): Promise<Relayed | undefined>;
  /** The bytes of the next health check, which haproxy itself sends to the server. */
  checked(): Promise<Buffer>;
}

/** The options of `bind` and `server`, as in haproxy's manual. */
export interface RelayOptions {
  readonly bind?: string;
  readonly server: string;
  /** The address of the server, as in haproxy's manual. By default, it is a plain server of this process. */
  readonly to?: string;
}

/** A running haproxy. It relays one connection at a time. */
export class Haproxy {
  readonly relays: readonly Relay[];
  private readonly folder: string;
  private readonly child: ChildProcess;
  private readonly sinks: readonly Sink[];

  private readonly kill = (): void => void this.child.kill('SIGKILL');

  private constructor(folder: string, child: ChildProcess, sinks: readonly Sink[], relays: readonly Relay[]) {
    this.folder = folder;
    this.child = child;
    process.once('exit', this.kill);
    this.sinks = sinks;
    this.relays = relays;
  }

  static async start(options: readonly RelayOptions[]): Promise<Haproxy> {
    const folder = await mkdtemp(join(tmpdir(), 'rxjs-sockets-'));
    const sinks: Sink[] = [];
    const relays: Relay[] = [];
    const fronts: net.Server[] = [];
    const config = ['global', 'maxconn 100', 'defaults', 'mode tcp'];
    config.push(...['connect', 'client', 'server', 'check'].map((name) => `timeout ${name} 10s`));
    config.push('unique-id-format %[uuid]');
    for (const [index, { bind = '', server, to }] of options.entries()) {
      const sink = new Sink();
      sinks.push(sink);
      const path = join(folder, `${index}.sock`);
      const dual = await listening({ host: hasIPv6 ? '::' : '0.0.0.0', port: 0 });
      const ipV4 = await listening({ host: '127.0.0.1', port: 0 });
      const port = portOf(await sink.listen());
      config.push(`listen relay${index}`, `server s ${to ?? `127.0.0.1:${port}`} ${server}`, `bind ${path} ${bind}`);
      // haproxy inherits bound sockets, so their ports are known and reserved.
      for (const front of [dual, ipV4]) config.push(`bind fd@${3 + fronts.push(front) - 1} ${bind}`);
      relays.push({
        dual: portOf(dual),
        ipV4: portOf(ipV4),
        path,
        relayed: (where, bytes) => relay(sink, where, bytes),
        checked: () => sink.next(),
      });
    }
    const file = join(folder, 'haproxy.cfg');
    await writeFile(file, `${config.join('\n')}\n`);
    const child = spawn(program, ['-q', '-db', '-f', file], {
      stdio: ['ignore', 'inherit', 'inherit', ...fronts.map(descriptorOf)],
    });
    await once(child, 'spawn');
    for (const front of fronts) front.close();
    return new Haproxy(folder, child, sinks, relays);
  }

  async stop(): Promise<void> {
    const exit = once(this.child, 'exit');
    this.kill();
    await exit;
    process.off('exit', this.kill);
    for (const sink of this.sinks) sink.close();
    await rm(this.folder, { recursive: true });
  }
}

/** A plain server. Once a connection has ended, `next` returns all the bytes of that connection. */
class Sink {
  private readonly server = net.createServer({ allowHalfOpen: true });
  private readonly ended: Buffer[] = [];
  private tell: ((bytes: Buffer) => void) | undefined;

  constructor() {
    this.server.on('connection', (socket) => {
      const chunks: Buffer[] = [];
      let isOver = false;
      const over = (): void => {
        if (!isOver) this.give(Buffer.concat(chunks));
        isOver = true;
        socket.destroy();
      };
      socket.on('data', (chunk: Buffer) => chunks.push(chunk));
      socket.on('end', over);
      socket.on('error', over);
    });
  }

  async listen(): Promise<net.Server> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return this.server;
  }

  next(): Promise<Buffer> {
    return new Promise((resolve) => {
      const bytes = this.ended.shift();
      if (bytes === undefined) this.tell = resolve;
      else resolve(bytes);
    });
  }

  close(): void {
    this.server.close();
  }

  private give(bytes: Buffer): void {
    const { tell } = this;
    this.tell = undefined;
    if (tell === undefined) this.ended.push(bytes);
    else tell(bytes);
  }
}

async function relay(
  sink: Sink,
  where: { host: string; port: number } | { path: string },
  bytes: Uint8Array,
): Promise<Relayed | undefined> {
  const arrived = sink.next();
  const socket = net.connect({ ...where, allowHalfOpen: true });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  const port = socket.localPort;
  const dropped = new Promise<undefined>((resolve) => {
    socket.on('close', () => resolve(undefined));
  });
  socket.end(bytes);
  socket.resume();
  const result = await Promise.race([arrived, dropped]);
  socket.destroy();
  return result === undefined ? undefined : { bytes: result, port };
}

async function listening(where: { host: string; port: number }): Promise<net.Server> {
  const server = net.createServer();
  server.listen(where);
  await once(server, 'listening');
  return server;
}

function portOf(server: net.Server): number {
  return (server.address() as net.AddressInfo).port;
}

function descriptorOf(server: net.Server): number {
  return (server as net.Server & { _handle: { fd: number } })._handle.fd;
}
