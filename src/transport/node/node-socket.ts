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
import { plainEnd, type StreamEnd, tlsEnd } from './stream-end.js';
import { StreamReader } from './stream-reader.js';
import type { SecureSocket } from './tls/handshake.js';
import type { TlsAcceptors } from './tls/server-handshakes.js';
import { isTlsServer, prepareTls } from './tls/start-tls.js';
import { handshakeError, tlsError } from './tls/tls-errors.js';
import { tlsInfo } from './tls/tls-info.js';
import type { StartTlsOptions, TlsInfo } from '../tls.js';
import type { BorrowingSocketEvents, SocketControls, TransportSocket } from '../transport.js';

/** The objects that all sockets of one transport share. */
export interface NodeContext {
  readonly internals: NodeInternals;
  /** Used when TLS starts on an open connection. */
  readonly acceptors: TlsAcceptors;
}

const owner = Symbol('rxjs-sockets.owner');

/**
 * A socket that holds its NodeSocket in a property, so that all sockets share their listeners: closures would make up
 * most of a socket's memory.
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

/** The state of a socket after its TLS handshake. */
interface Tls {
  readonly secure: SecureSocket;
  readonly info: TlsInfo;
  readonly end: TlsStreamEnd;
}

/** The socket of a connection, on top of one `net.Socket`, with or without TLS. */
export class NodeSocket implements TransportSocket, ReaderOwner {
  readonly local: Address;
  readonly remote: Address;

  private readonly context: NodeContext;
  /** The socket without TLS. */
  private readonly raw: OwnedSocket;
  /** The socket to read and write: `raw`, or the TLS socket on top of it. */
  private socket: OwnedSocket;
  /** The address that was dialled; undefined if the socket was accepted. */
  private readonly dialled: Address | undefined;
  /** Whether this end is the TLS server: it accepted the connection, or `startTls` got `isServer: true`. */
  private isTlsServer: boolean;
  private secured: Tls | undefined;
  /** Whether the handshake of `startTls` is in progress. */
  private isSecuring = false;
  private opened: BorrowingSocketEvents | undefined;
  private reader: SocketReader | undefined;
  private isPaused = false;
  private isEnding = false;
  /** Whether this side has reset or dropped the socket. From then on, only its close is reported. */
  private isGivenUp = false;
  private isClosed = false;
  private failure: unknown;
  /** Counts the writes, because the callback of a write may run after the next write has begun. */
  private writes = 0;
  private callbacks = 0;
  /** The number of the write that `onDrain` waits for; 0 for none. */
  private awaited = 0;
  private callback: ((error?: Error | null) => void) | undefined;

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
    this.isTlsServer = dialled === undefined;
    flushAtExit();
    this.raw[owner] = this;
    raw.on('error', onError);
    if (secure === undefined) raw.on('close', onClose);
    else this.attachTls(secure);
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
    // With TLS, libuv would count encrypted bytes.
    const unsent = this.secured === undefined ? this.context.internals.unsentBytes(socket) : undefined;
    return unsent ?? socket.writableLength;
  }

  open(events: BorrowingSocketEvents): void {
    this.opened = events;
    if (this.isClosed) {
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
    this.isTlsServer = isTlsServer(options, this.dialled);
    return (secured) => {
      const { raw } = this;
      if (this.isGivenUp || this.isClosed) return;
      if (raw.readableLength > 0) {
        this.failed(handshakeError(new Error('bytes came in the clear'), undefined, this.remote));
        return;
      }
      this.isSecuring = true;
      this.detachPlain();
      start(raw, this.remote, {
        onSecure: (secure) => {
          this.isSecuring = false;
          raw.off('error', ignore);
          raw.on('error', onError);
          this.attachTls(secure);
          // After `reset`, read nothing, although the socket is reset only when this call from OpenSSL has returned.
          if (this.isGivenUp || this.opened === undefined) return;
          this.read(this.opened);
          secured();
        },
        onError: (error) => {
          this.failed(error);
        },
      });
    };
  }

  /** Hands `raw` over to TLS, which reads and writes it from now on. */
  private detachPlain(): void {
    const { raw } = this;
    raw.off('close', onClose);
    raw.off('error', onError);
    raw.on('error', ignore);
    this.reader?.release();
    this.reader = undefined;
  }

  private attachTls(secure: SecureSocket): void {
    const { socket } = secure;
    this.socket = socket;
    this.socket[owner] = this;
    socket.on('error', onError);
    socket.on('close', onClose);
    this.secured = {
      secure,
      info: tlsInfo(socket, !this.isTlsServer),
      end: this.context.internals.watchTlsEnd(socket),
    };
    socket.pause();
  }

  write(data: Uint8Array | string, encoding: 'utf8' | 'latin1'): boolean {
    this.writes++;
    this.socket.write(data, encoding, this.onWritten);
    return this.isTaken();
  }

  writeAll(pieces: readonly Uint8Array[]): boolean {
    this.socket.cork();
    for (const piece of pieces) {
      this.writes++;
      this.socket.write(piece, this.onWritten);
    }
    this.socket.uncork();
    return this.isTaken();
  }

  /** Whether the kernel has taken everything, so that Node buffers nothing. */
  private isTaken(): boolean {
    // After a write that failed at once, `writableLength` is 0 as well.
    if (this.socket.writableLength === 0 && !this.isBroken) return true;
    this.awaited = this.writes;
    return false;
  }

  /** The callback that all writes share; created at the first write. */
  private get onWritten(): (error?: Error | null) => void {
    this.callback ??= (error) => {
      this.callbacks++;
      if (error !== undefined && error !== null) return;
      if (this.awaited === 0 || this.callbacks < this.awaited) return;
      this.awaited = 0;
      this.opened?.onDrain();
    };
    return this.callback;
  }

  end(): void {
    if (this.secured === undefined) {
      this.endNow();
      return;
    }
    // TLS loses a close_notify that follows an unfinished write. A write may still be unfinished when its callback
    // runs, so end only in a later turn.
    setImmediate(() => {
      this.endNow();
    });
  }

  private endNow(): void {
    this.isEnding = true;
    this.socket.end();
  }

  reset(): void {
    this.giveUp();
    if (this.secured === undefined && !this.isSecuring) {
      this.resetNow();
      return;
    }
    // A reset during a call from OpenSSL, such as the one that reports the handshake, would crash the process.
    setImmediate(() => {
      this.resetNow();
    });
  }

  drop(): void {
    this.giveUp();
    this.socket.destroy();
    this.raw.destroy();
  }

  private giveUp(): void {
    this.isGivenUp = true;
    this.reader?.stop();
  }

  /**
   * Resets the socket. While libuv is sending the FIN, a reset would fail with EINVAL, and no `'close'` would follow,
   * so this waits until the kernel has taken the FIN. That takes one turn, unless the kernel has no room for the
   * close_notify.
   *
   * @param patience - the maximum number of turns to wait
   */
  private resetNow(patience = 2): void {
    const { raw, socket } = this;
    const isTcp = raw.remoteFamily !== undefined && !raw.destroyed;
    if (isTcp && this.isEnding && !socket.writableFinished && patience > 0) {
      setImmediate(() => {
        this.resetNow(patience - 1);
      });
      return;
    }
    // If both sides have finished, the peer has everything, so no reset is needed.
    if (isTcp && (!this.isEnding || (socket.writableFinished && !socket.readableEnded))) raw.resetAndDestroy();
    socket.destroy();
    raw.destroy();
  }

  /** @internal */
  ended(hasReceived: boolean): void {
    const end = this.streamEnd(hasReceived);
    switch (end.how) {
      case 'finished':
        this.opened?.onEnd();
        return;
      case 'truncated': {
        const message = 'the stream was cut off: it has ended without a close_notify';
        const error = new SocketError('ERR_TLS', message, { address: this.remote });
        this.opened?.onEnd({ error, mayBeComplete: this.secured?.secure.allowHalfClosed === true });
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
    return tlsEnd(raw, secured.end, context.internals, hasReceived && !this.isTlsServer);
  }

  /** @internal */
  failed(cause: Error): void {
    // An error that this side's reset has caused is not a failure; an error from before the reset is (C12).
    if (!this.isGivenUp) this.failure ??= cause;
    this.socket.destroy();
    // A TLS socket may report an error but never close.
    setImmediate(() => {
      this.closed();
    });
  }

  private get isBroken(): boolean {
    return this.socket.destroyed || (this.socket.errored ?? null) !== null;
  }

  /** @internal */
  closed(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.reader?.release();
    const { opened, socket } = this;
    if (opened === undefined) return;
    // Deliver the chunks that Node has read but not emitted, because the socket was paused.
    while (socket.readableLength > 0) {
      const rest = socket.read() as Buffer | null;
      if (rest === null) break;
      opened.onData(rest);
    }
    this.reportClose(opened);
  }

  private reportClose(events: BorrowingSocketEvents): void {
    events.onClose(this.failure === undefined ? undefined : this.errorOf(this.failure));
  }

  private errorOf(cause: unknown): SocketError {
    const action = 'the connection failed';
    return this.secured === undefined ? systemError(cause, action, this.remote) : tlsError(cause, action, this.remote);
  }
}
