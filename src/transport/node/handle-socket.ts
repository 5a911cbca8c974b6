import net from 'node:net';
import type { Address } from '../../address/address.js';
import { systemError } from '../../errors/node-errors.js';
import type { FlushScheduler } from '../../scheduling/flush-scheduler.js';
import { flushAtExit, processFlushScheduler } from '../../scheduling/process-flush-scheduler.js';
import { HandleReader, type HandleReaderOwner } from './direct-reader.js';
import { resetOf } from './internals/hidden-reset.js';
import {
  errnoError,
  type ShutdownRequest,
  type StreamHandle,
  type StreamHandles,
  type WriteRequest,
} from './internals/stream-handle.js';
import { type NodeContext, NodeSocket } from './node-socket.js';
import { tcpOptions } from './tcp-options.js';
import { prepareTls } from './tls/start-tls.js';
import type { StartTlsOptions, TlsInfo } from '../tls.js';
import type { BorrowingSocketEvents, SocketControls, SocketOptions, TransportSocket } from '../transport.js';

const owner = Symbol('rxjs-sockets.owner');

/** The objects that call back hold their HandleSocket in a property. All sockets then share these functions. */
interface Owned {
  [owner]?: HandleSocket;
}

function onWritten(this: WriteRequest & Owned, status: number): void {
  this[owner]?.written(status);
}

function onFinTaken(this: ShutdownRequest & Owned): void {
  this[owner]?.finTaken();
}

function onClosed(this: StreamHandle & Owned): void {
  this[owner]?.closed();
}

/** The request of the next write. A write that the kernel takes at once leaves its request unused. */
let unusedWrite: (WriteRequest & Owned) | undefined;

/** The socket of an accepted connection without TLS, on a handle of libuv instead of a `net.Socket`. */
export class HandleSocket implements TransportSocket, HandleReaderOwner, SocketControls {
  readonly local: Address;
  readonly remote: Address;

  private readonly context: NodeContext;
  private readonly handles: StreamHandles;
  private readonly handle: StreamHandle & Owned;
  private options: SocketOptions;
  /**
   * - `abandoned`: this side has reset or dropped the socket, and the handle is still to be closed. From then on, only
   *   the close is reported.
   * - `closing`: the handle is being closed. It is closed exactly once.
   * - `upgraded`: the handle belongs to {@link upgraded}.
   */
  private life: 'open' | 'abandoned' | 'closing' | 'closed' | 'upgraded' = 'open';
  private fin: 'unsent' | 'queued' | 'taken' = 'unsent';
  private hasReceivedFin = false;
  private isPaused = false;
  /** Whether a write has failed, even if that is not reported yet. */
  private isBroken = false;
  private failure: Error | undefined;
  private events: BorrowingSocketEvents | undefined;
  private reader: HandleReader | undefined;
  /** The same connection after `startTls`, which needs a `net.Socket`. */
  private upgraded: NodeSocket | undefined;

  constructor(
    context: NodeContext,
    handles: StreamHandles,
    handle: StreamHandle,
    names: { readonly local: Address; readonly remote: Address },
    options: SocketOptions,
  ) {
    this.context = context;
    this.handles = handles;
    this.handle = handle;
    this.local = names.local;
    this.remote = names.remote;
    this.options = options;
    this.handle[owner] = this;
    flushAtExit();
  }

  get scheduler(): FlushScheduler {
    return processFlushScheduler;
  }

  get tls(): TlsInfo | undefined {
    return this.upgraded?.tls;
  }

  get controls(): SocketControls {
    return this.upgraded?.controls ?? this;
  }

  get unsent(): number {
    if (this.upgraded !== undefined) return this.upgraded.unsent;
    // After a failure it is unknown how much of the last write was sent.
    return this.life === 'open' && !this.isBroken ? this.handle.writeQueueSize : Infinity;
  }

  open(events: BorrowingSocketEvents): void {
    this.events = events;
    if (this.life === 'closed') {
      process.nextTick(() => {
        this.reportClose(events);
      });
      return;
    }
    if (this.life !== 'open') return;
    this.reader = new HandleReader(this.handle, this.handles, events, this);
    if (!this.isPaused) this.reader.resume();
  }

  pause(): void {
    this.isPaused = true;
    if (this.upgraded === undefined) this.reader?.pause();
    else this.upgraded.pause();
  }

  resume(): void {
    this.isPaused = false;
    if (this.upgraded === undefined) this.reader?.resume();
    else this.upgraded.resume();
  }

  /** @internal */
  ended(): void {
    const error = resetOf(this.handle.fd);
    if (error !== undefined) {
      this.failed(error);
      return;
    }
    this.hasReceivedFin = true;
    try {
      this.events?.onEnd();
    } finally {
      this.closeIfFinished();
    }
  }

  write(data: Uint8Array | string, encoding: 'utf8' | 'latin1'): boolean {
    if (this.upgraded !== undefined) return this.upgraded.write(data, encoding);
    if (this.life !== 'open') return false;
    const { handle } = this;
    const request = this.nextWrite();
    let status;
    if (typeof data !== 'string') status = handle.writeBuffer(request, data);
    else if (encoding === 'latin1') status = handle.writeLatin1String(request, data);
    else status = handle.writeUtf8String(request, data);
    return this.isTaken(status, request, data);
  }

  writeAll(pieces: readonly Uint8Array[]): boolean {
    if (this.upgraded !== undefined) return this.upgraded.writeAll(pieces);
    if (this.life !== 'open') return false;
    const request = this.nextWrite();
    return this.isTaken(this.handle.writev(request, pieces, true), request, pieces);
  }

  private nextWrite(): WriteRequest & Owned {
    // While a request is in use, an async hook may write on another socket.
    const request = unusedWrite ?? this.handles.newWrite();
    unusedWrite = undefined;
    return request;
  }

  /** Whether the kernel has taken everything. */
  private isTaken(status: number, request: WriteRequest & Owned, data: unknown): boolean {
    if (status === 0 && !this.handles.isWriteQueued) {
      unusedWrite = request;
      return true;
    }
    request[owner] = this;
    request.oncomplete = onWritten;
    request.data = data;
    if (status !== 0) {
      this.isBroken = true;
      process.nextTick(() => {
        this.failed(errnoError(status, 'write'));
      });
    }
    return false;
  }

  /** @internal */
  written(status: number): void {
    if (this.life !== 'open') return;
    if (status < 0) this.failed(errnoError(status, 'write'));
    else this.events?.onDrain();
  }

  end(): void {
    if (this.upgraded !== undefined) this.upgraded.end();
    else if (this.life === 'open' && this.fin === 'unsent') {
      // If the peer has finished, and the kernel has taken everything, closing also sends the FIN.
      if (this.hasReceivedFin && !this.isBroken && this.handle.writeQueueSize === 0) {
        this.finTaken();
        return;
      }
      this.fin = 'queued';
      const request: ShutdownRequest & Owned = this.handles.newShutdown();
      request[owner] = this;
      request.oncomplete = onFinTaken;
      // The call fails if the connection is already broken. Reading then reports the reason.
      if (this.handle.shutdown(request) !== 0) {
        process.nextTick(() => {
          this.finTaken();
        });
      }
    }
  }

  /** @internal */
  finTaken(): void {
    this.fin = 'taken';
    this.closeIfFinished();
  }

  private closeIfFinished(): void {
    if (this.life === 'open' && this.fin === 'taken' && this.hasReceivedFin) this.close();
  }

  reset(): void {
    if (this.upgraded !== undefined) this.upgraded.reset();
    else if (this.life === 'open') {
      this.abandon();
      this.resetNow();
    }
  }

  drop(): void {
    if (this.upgraded !== undefined) this.upgraded.drop();
    else if (this.life === 'open') {
      this.abandon();
      this.close();
    }
  }

  private abandon(): void {
    this.life = 'abandoned';
    this.reader?.stop();
  }

  /**
   * Resets a TCP connection, and closes any other, but not while libuv is sending the FIN. Such a reset would fail with
   * EINVAL. Usually the kernel takes the FIN within one turn.
   *
   * @param patience - the maximum number of turns to wait for the FIN
   */
  private resetNow(patience = 2): void {
    const { handle, fin } = this;
    if (fin === 'queued' && patience > 0) {
      setImmediate(() => {
        this.resetNow(patience - 1);
      });
      return;
    }
    // If both sides have finished, the peer has everything, so no reset is needed.
    const needsReset = fin === 'unsent' || (fin === 'taken' && !this.hasReceivedFin);
    if (needsReset && handle.reset?.(onClosed) === 0) this.life = 'closing';
    else this.close();
  }

  /** @internal */
  failed(error: Error): void {
    if (this.life !== 'open') return;
    this.failure = error;
    this.close();
  }

  private close(): void {
    this.life = 'closing';
    this.reader?.stop();
    this.handle.close(onClosed);
  }

  /** @internal */
  closed(): void {
    this.life = 'closed';
    this.reader?.release();
    if (this.events !== undefined) this.reportClose(this.events);
  }

  private reportClose(events: BorrowingSocketEvents): void {
    const { failure } = this;
    events.onClose(failure === undefined ? undefined : systemError(failure, 'the connection failed', this.remote));
  }

  startTls(options: StartTlsOptions): (secured: () => void) => void {
    if (this.upgraded !== undefined) return this.upgraded.startTls(options);
    const start = prepareTls(options, undefined, this.context.acceptors);
    return (secured) => {
      const { context, events, handle, isPaused, options: current } = this;
      if (this.life !== 'open' || events === undefined) return;
      this.life = 'upgraded';
      this.reader?.release();
      // With `pauseOnCreate`, Node takes over the handle, but does not read from it yet.
      const given = { ...tcpOptions(current), handle, allowHalfOpen: true, pauseOnCreate: true };
      const raw = new net.Socket(given);
      this.upgraded = new NodeSocket(context, raw, this);
      if (isPaused) this.upgraded.pause();
      this.upgraded.secure(events, start, true, secured);
    };
  }

  ref(): void {
    if (this.life === 'open') this.handle.ref();
  }

  unref(): void {
    if (this.life === 'open') this.handle.unref();
  }

  setNoDelay(on: boolean): void {
    if (this.life !== 'open') return;
    this.options = { ...this.options, noDelay: on };
    this.handle.setNoDelay?.(on);
  }

  setKeepAlive(on: boolean, delay: number): void {
    if (this.life !== 'open') return;
    // With a delay of 0, the kernel keeps its own delay, but keep-alive is on. In the options, 0 would mean off.
    const keepAlive = on ? Math.max(1, delay) : 0;
    if (keepAlive !== this.options.keepAlive) this.options = { ...this.options, keepAlive };
    this.handle.setKeepAlive?.(on, Math.trunc(delay / 1_000));
  }
}
