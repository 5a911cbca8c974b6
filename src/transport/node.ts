import net from 'node:net';
import { type Address, formatAddress } from '../address.js';
import { SocketError, systemError } from '../errors.js';
import { Turn } from '../io/turn.js';
import { AcceptGate } from './accept-gate.js';
import { bindFile, isFile } from './file-binding.js';
import type {
  Dial,
  DialEvents,
  DialOptions,
  Listener,
  ListenerEvents,
  ListenerOptions,
  SocketEvents,
  SocketOptions,
  Transport,
  TransportSocket,
} from './transport.js';

const turn = new Turn(
  (work) => {
    process.nextTick(work);
  },
  (work) => {
    setImmediate(work);
  },
);

/** Node's own sockets: TCP and unix. */
export const nodeTransport: Transport = { check, listen, connect };

function check(address: Address, role: 'listen' | 'connect'): void {
  if (address.transport === 'unix' || (address.transport === 'tcp' && address.tls === undefined)) return;
  throw new SocketError('ERR_ADDRESS_INVALID', `Node's sockets can't ${role} at ${formatAddress(address)}`, {
    address,
  });
}

function listen(address: Address, options: ListenerOptions, events: ListenerEvents): Listener {
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, ...tcpOptions(options) });
  const gate = new AcceptGate(server);
  let closed = false;
  const close = (): void => {
    closed = true;
    file?.close();
    server.close();
  };
  const failed = (cause: unknown): void => {
    if (closed) return;
    close();
    events.failed(systemError(cause, `listen at ${formatAddress(address)}`, address));
  };
  server.on('connection', (socket) => {
    if (closed) socket.destroy();
    else events.connection(new NodeSocket(socket, localName(socket, address), remoteName(socket)));
  });
  server.on('error', (cause) => {
    if (!server.listening) failed(cause);
    else if (!closed) events.incident(systemError(cause, 'accept', address));
  });
  server.on('listening', () => {
    // A name that was looked up is bound even though the server was closed meanwhile.
    if (closed) {
      server.close();
      return;
    }
    gate.opened();
    if (!isFile(address)) events.listening(boundName(server, address));
  });
  const { backlog } = options;
  const file = isFile(address)
    ? bindFile(server, address, options, () => events.listening(address), failed)
    : undefined;
  if (address.transport === 'unix' && file === undefined) server.listen({ path: address.path, backlog });
  else if (address.transport === 'tcp') server.listen({ host: address.host, port: address.port, backlog });
  return {
    hold(): void {
      gate.hold();
    },
    release(): void {
      gate.release();
    },
    close,
  };
}

function connect(address: Address, options: DialOptions, events: DialEvents): Dial {
  const socket = new net.Socket({ allowHalfOpen: true, ...(address.transport === 'tcp' ? tcpOptions(options) : {}) });
  // Nothing is read before the connection is opened.
  socket.pause();
  let aborted = false;
  const failed = (cause: unknown): void => {
    if (!aborted) events.failed(systemError(cause, `connect to ${formatAddress(address)}`, address));
  };
  socket.on('error', failed);
  socket.on('connect', () => {
    socket.off('error', failed);
    if (aborted) return;
    events.connected(
      new NodeSocket(socket, localName(socket, { transport: 'unix', path: '' }), remoteName(socket, address)),
    );
  });
  if (address.transport === 'unix') socket.connect({ path: address.path });
  else if (address.transport === 'tcp') socket.connect({ host: address.host, port: address.port });
  return {
    abort(): void {
      aborted = true;
      socket.destroy();
    },
  };
}

/** One `net.Socket` behind the interface that the connections are built on. */
class NodeSocket implements TransportSocket {
  readonly local: Address;
  readonly remote: Address;
  readonly turn: Turn = turn;

  private readonly socket: net.Socket;
  private events: SocketEvents | undefined;
  private failure: unknown;
  private closed = false;
  private ending = false;
  /** Writes are numbered, since the callback of one that was taken at once comes after the next may have begun. */
  private writes = 0;
  private callbacks = 0;
  private awaited = 0;
  private readonly onWritten = (error?: Error | null): void => {
    this.callbacks++;
    if (error !== undefined && error !== null) return;
    if (this.awaited === 0 || this.callbacks < this.awaited) return;
    this.awaited = 0;
    this.events?.taken();
  };

  constructor(socket: net.Socket, local: Address, remote: Address) {
    this.socket = socket;
    this.local = local;
    this.remote = remote;
    socket.on('error', (cause) => {
      this.failure ??= cause;
      socket.destroy();
    });
    socket.on('close', () => {
      this.gone();
    });
  }

  get unsent(): number {
    const handle = (this.socket as { _handle?: { writeQueueSize?: number } | null })._handle;
    return handle?.writeQueueSize ?? this.socket.writableLength;
  }

  open(events: SocketEvents): void {
    this.events = events;
    const { socket } = this;
    if (this.closed) {
      process.nextTick(() => {
        this.report(events);
      });
      return;
    }
    socket.on('data', (chunk: Buffer) => {
      events.received(chunk);
    });
    socket.on('end', () => {
      events.finished();
    });
    socket.resume();
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  write(data: Uint8Array | string, encoding: 'utf8' | 'latin1'): boolean {
    this.writes++;
    this.socket.write(data, encoding, this.onWritten);
    return this.taken();
  }

  writeAll(pieces: readonly Uint8Array[]): boolean {
    this.socket.cork();
    for (const piece of pieces) {
      this.writes++;
      this.socket.write(piece, this.onWritten);
    }
    this.socket.uncork();
    return this.taken();
  }

  end(): void {
    this.ending = true;
    this.socket.end();
  }

  /** A socket that is ending can't be reset; its bytes and its FIN are with the kernel, so the peer lacks nothing. */
  reset(): void {
    if (this.remote.transport === 'tcp' && !this.ending && !this.socket.destroyed) this.socket.resetAndDestroy();
    else this.socket.destroy();
  }

  /** Whether the kernel has taken everything: Node keeps nothing back. */
  private taken(): boolean {
    if (this.socket.writableLength === 0) return true;
    this.awaited = this.writes;
    return false;
  }

  private gone(): void {
    if (this.closed) return;
    this.closed = true;
    const { events, socket } = this;
    if (events === undefined) return;
    // A chunk that Node had read when the socket was paused is still its own.
    const rest = socket.readableLength > 0 ? (socket.read() as Buffer | null) : null;
    if (rest !== null) events.received(rest);
    this.report(events);
  }

  private report(events: SocketEvents): void {
    events.gone(
      this.failure === undefined ? undefined : systemError(this.failure, 'the connection failed', this.remote),
    );
  }
}

function tcpOptions(options: SocketOptions): net.SocketConstructorOpts & net.ServerOpts {
  const { noDelay, keepAlive } = options;
  // Linux counts in whole seconds, and takes 0 for its own default of two hours.
  return { noDelay, keepAlive: keepAlive > 0, keepAliveInitialDelay: Math.max(1_000, keepAlive) };
}

function localName(socket: net.Socket, unix: Address): Address {
  if (unix.transport === 'unix' && socket.localAddress === undefined) return unix;
  return tcpName(socket.localAddress, socket.localPort);
}

function remoteName(socket: net.Socket, dialled?: Address): Address {
  if (dialled?.transport === 'unix') return dialled;
  if (socket.remoteAddress === undefined && dialled !== undefined) return dialled;
  return socket.remoteAddress === undefined
    ? { transport: 'unix', path: '' }
    : tcpName(socket.remoteAddress, socket.remotePort);
}

/** A peer that has gone before it could be asked has the unspecified address. */
function tcpName(host: string | undefined, port: number | undefined): Address {
  return { transport: 'tcp', host: unmapped(host ?? '0.0.0.0'), port: port ?? 0 };
}

function boundName(server: net.Server, asked: Address): Address {
  const name = server.address();
  if (name === null || typeof name === 'string') return asked;
  return { transport: 'tcp', host: name.address, port: name.port };
}

/** A dual-stack listener gives IPv4 peers as `::ffff:127.0.0.1`. */
function unmapped(host: string): string {
  return host.startsWith('::ffff:') && host.includes('.') ? host.slice(7) : host;
}
