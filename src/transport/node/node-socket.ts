import type net from 'node:net';
import type { Address } from '../../address/address.js';
import { SocketError } from '../../errors/socket-error.js';
import { systemError } from '../../errors/node-errors.js';
import type { FlushScheduler } from '../../scheduling/flush-scheduler.js';
import { flushAtExit, processFlushScheduler } from '../../scheduling/process-flush-scheduler.js';
import { DirectReader } from './direct-reader.js';
import type { TlsStreamEnd } from './internals/close-notify.js';
import type { NodeInternals } from './internals/internals.js';
import type { SocketReader, ReaderOwner } from './reader.js';
import { resetSocket } from './reset-socket.js';
import { plainEnd, type StreamEnd, tlsEnd } from './stream-end.js';
import { StreamReader } from './stream-reader.js';
import type { SecureSocket } from './tls/handshake.js';
import type { TlsAcceptors } from './tls/server-handshakes.js';
import { isTlsServer, prepareTls, type TlsStarter } from './tls/start-tls.js';
import { handshakeError, tlsError } from './tls/tls-errors.js';
import { tlsInfo } from './tls/tls-info.js';
import { WriteCompletion } from './write-completion.js';
import type { StartTlsOptions, TlsInfo } from '../tls.js';
import type { BorrowingSocketEvents, SocketControls, TransportSocket } from '../transport.js';

/** The objects that all sockets of one transport share. */
export interface NodeContext {
  readonly internals: NodeInternals;
  /** Used by `startTls`. */
  readonly acceptors: TlsAcceptors;
}

const owner = Symbol('rxjs-sockets.owner');

/**
 * A socket that holds its NodeSocket in a property. All sockets can then share the same listener functions. If each
 * NodeSocket had closures of its own, they would be the largest part of its memory.
 */
interface OwnedSocket extends net.Socket {
  [owner]?: NodeSocket;
}

function onError(this: OwnedSocket, cause: Error): void {
  this[owner]?.failed(cause);
}

function onClose(this: OwnedSocket): void {
  this[owner]?.closed();
}

function ignore(): void {
  // The handshake reports the errors of the raw socket.
}

interface Tls {
  readonly secure: SecureSocket;
  readonly isServer: boolean;
  readonly info: TlsInfo;
  readonly end: TlsStreamEnd;
}

/** `securing` during the handshake of `startTls`. */
type Layer = 'plain' | 'securing' | Tls;

/** `abandoned` after this side has reset or dropped the socket: from then on, only its close is reported. */
type Life = 'open' | 'abandoned' | 'closed';

/** The socket of a connection, on top of one `net.Socket`, with or without TLS. */
export class NodeSocket implements TransportSocket, ReaderOwner {
  readonly local: Address;
  readonly remote: Address;

  private readonly context: NodeContext;
  private readonly raw: OwnedSocket;
  /** The socket to read and write: `raw`, or the TLS socket on top of it. */
  private socket: OwnedSocket;
  /** The address that was dialled; undefined if the socket was accepted. */
  private readonly dialled: Address | undefined;
  private layer: Layer = 'plain';
  private life: Life = 'open';
  private failure: unknown;
  private events: BorrowingSocketEvents | undefined;
  private reader: SocketReader | undefined;
  private isPaused = false;
  /** Created at the first write. */
  private completion: WriteCompletion | undefined;

  constructor(
    context: NodeContext,
    raw: net.Socket,
    names: { readonly local: Address; readonly remote: Address },
    dialled?: Address,
    secure?: SecureSocket,
  ) {
    this.context = context;
    this.raw = raw;
    this.socket = raw;
    this.local = names.local;
    this.remote = names.remote;
    this.dialled = dialled;
    flushAtExit();
    this.raw[owner] = this;
    raw.on('error', onError);
    if (secure === undefined) raw.on('close', onClose);
    else this.attachTls(secure, dialled === undefined);
  }

  private get secured(): Tls | undefined {
    return typeof this.layer === 'string' ? undefined : this.layer;
  }

  get scheduler(): FlushScheduler {
    return processFlushScheduler;
  }

  get tls(): TlsInfo | undefined {
    return this.secured?.info;
  }

  get controls(): SocketControls {
    return this.raw;
  }

  get unsent(): number {
    // After a failure it is unknown how much of the last write was sent.
    if (this.isBroken) return Infinity;
    const { socket } = this;
    // With TLS, libuv would count encrypted bytes, so use Node's own count.
    const unsent = this.secured === undefined ? this.context.internals.unsentBytes(socket) : undefined;
    return unsent ?? socket.writableLength;
  }

  open(events: BorrowingSocketEvents): void {
    this.events = events;
    if (this.life === 'closed') {
      process.nextTick(() => {
        this.reportClose(events);
      });
      return;
    }
    this.read(events);
  }

  private read(events: BorrowingSocketEvents): void {
    const { raw, secured, socket } = this;
    const direct = secured === undefined ? DirectReader.of(raw, events, this, this.context.internals) : undefined;
    this.reader = direct ?? new StreamReader(socket, events, this);
    if (!this.isPaused) socket.resume();
  }

  pause(): void {
    this.isPaused = true;
    if (this.reader !== undefined) this.socket.pause();
  }

  resume(): void {
    this.isPaused = false;
    if (this.reader !== undefined) this.socket.resume();
  }

  startTls(options: StartTlsOptions): (secured: () => void) => void {
    const start = prepareTls(options, this.dialled, this.context.acceptors);
    const isServer = isTlsServer(options, this.dialled);
    return (secured) => {
      if (this.events !== undefined) this.secure(this.events, start, isServer, secured);
    };
  }

  /**
   * Performs the handshake of `startTls`. The socket need not be open yet.
   *
   * @internal
   */
  secure(events: BorrowingSocketEvents, start: TlsStarter, isServer: boolean, secured: () => void): void {
    const { raw } = this;
    this.events = events;
    if (this.life !== 'open') return;
    if (raw.readableLength > 0) {
      this.failed(handshakeError(new Error('bytes came in the clear'), undefined, this.remote));
      return;
    }
    this.layer = 'securing';
    this.detachPlain();
    start(raw, this.remote, {
      onSecure: (secure) => {
        raw.off('error', ignore);
        raw.on('error', onError);
        this.attachTls(secure, isServer);
        // After `reset`, read nothing. The socket can still be read here, because `reset` destroys it only in a later
        // turn.
        if (this.life !== 'open') return;
        this.read(events);
        secured();
      },
      onError: (error) => {
        this.failed(error);
      },
    });
  }

  private detachPlain(): void {
    const { raw } = this;
    raw.off('close', onClose);
    raw.off('error', onError);
    raw.on('error', ignore);
    this.reader?.release();
    this.reader = undefined;
  }

  private attachTls(secure: SecureSocket, isServer: boolean): void {
    const { socket } = secure;
    this.socket = socket;
    this.socket[owner] = this;
    socket.on('error', onError);
    socket.on('close', onClose);
    this.layer = {
      secure,
      isServer,
      info: tlsInfo(socket, !isServer),
      end: this.context.internals.watchTlsEnd(socket),
    };
    socket.pause();
  }

  write(data: Uint8Array | string, encoding: 'utf8' | 'latin1'): boolean {
    this.socket.write(data, encoding, this.writeCompletion.start());
    return this.isTaken();
  }

  writeAll(pieces: readonly Uint8Array[]): boolean {
    const { writeCompletion } = this;
    this.socket.cork();
    for (const piece of pieces) this.socket.write(piece, writeCompletion.start());
    this.socket.uncork();
    return this.isTaken();
  }

  /** Whether the kernel has taken everything. */
  private isTaken(): boolean {
    // `writableLength` is also 0 after a write that failed at once.
    if (this.socket.writableLength === 0 && !this.isBroken) return true;
    this.writeCompletion.awaitDrain();
    return false;
  }

  private get writeCompletion(): WriteCompletion {
    this.completion ??= new WriteCompletion(() => this.events?.onDrain());
    return this.completion;
  }

  end(): void {
    if (this.secured === undefined) {
      this.socket.end();
      return;
    }
    // TLS loses a close_notify that follows an unfinished write. A write may still be unfinished when its callback
    // runs, so wait for a later turn before ending the socket.
    setImmediate(() => {
      this.socket.end();
    });
  }

  reset(): void {
    this.abandon();
    if (this.layer === 'plain') {
      resetSocket(this.raw, this.socket);
      return;
    }
    // A reset during a call from OpenSSL would crash the process, so wait until such a call has returned.
    setImmediate(() => {
      resetSocket(this.raw, this.socket);
    });
  }

  drop(): void {
    this.abandon();
    this.socket.destroy();
    this.raw.destroy();
  }

  private abandon(): void {
    if (this.life === 'open') this.life = 'abandoned';
    this.reader?.stop();
  }

  /** @internal */
  ended(hasReceived: boolean): void {
    const end = this.streamEnd(hasReceived);
    switch (end.how) {
      case 'finished':
        this.events?.onEnd();
        return;
      case 'truncated': {
        const message = 'the stream was cut off: it has ended without a close_notify';
        const error = new SocketError('ERR_TLS', message, { address: this.remote });
        this.events?.onEnd({ error, mayBeComplete: this.secured?.secure.allowHalfClosed === true });
        return;
      }
      case 'reset':
        this.failure ??= end.error;
        this.socket.destroy();
    }
  }

  private streamEnd(hasReceived: boolean): StreamEnd {
    const { context, raw, secured } = this;
    if (secured === undefined) return plainEnd(raw, context.internals);
    return tlsEnd(raw, secured.end, context.internals, hasReceived && !secured.isServer);
  }

  /** @internal */
  failed(cause: Error): void {
    // If this side has reset or dropped the socket, later errors are no failure (C12).
    if (this.life === 'open') this.failure ??= cause;
    this.socket.destroy();
    // A TLS socket may report an error but never close, so report the close here.
    setImmediate(() => {
      this.closed();
    });
  }

  private get isBroken(): boolean {
    return this.socket.destroyed || (this.socket.errored ?? null) !== null;
  }

  /** @internal */
  closed(): void {
    if (this.life === 'closed') return;
    this.life = 'closed';
    this.reader?.release();
    const { events, socket } = this;
    if (events === undefined) return;
    // If the socket was paused, Node may have read chunks that it has not emitted. Deliver them now.
    while (socket.readableLength > 0) {
      const rest = socket.read() as Buffer | null;
      if (rest === null) break;
      events.onData(rest);
    }
    this.reportClose(events);
  }

  private reportClose(events: BorrowingSocketEvents): void {
    events.onClose(this.failure === undefined ? undefined : this.errorOf(this.failure));
  }

  private errorOf(cause: unknown): SocketError {
    const action = 'the connection failed';
    return this.secured === undefined ? systemError(cause, action, this.remote) : tlsError(cause, action, this.remote);
  }
}
