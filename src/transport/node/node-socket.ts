import type net from 'node:net';
import type { Address } from '../../address/address.js';
import { SocketError } from '../../errors/socket-error.js';
import { systemError } from '../../errors/node-errors.js';
import { readBlock } from '../../bytes/shared-read-block.js';
import type { FlushScheduler } from '../../scheduling/flush-scheduler.js';
import { type StreamEnd, watchEnd } from './internals/close-notify.js';
import { forget, readInto, readOn, stopReading } from './internals/direct-read.js';
import { acceptedSoFar, hiddenReset } from './internals/hidden-reset.js';
import { flushAtExit, processFlushScheduler } from '../../scheduling/process-flush-scheduler.js';
import { handshakeError, isTlsServer, prepareTls, type Secured, tlsError, tlsInfo } from './tls/handshake.js';
import type { StartTlsOptions, TlsInfo } from '../tls.js';
import type { Keeper, SocketControls, SocketEvents, TransportSocket } from '../transport.js';

/** So many sockets that are given much may have a block of their own: they keep it as long as nothing comes. */
const mostOwnBlocks = 64;
let ownBlocks = 0;

const owner = Symbol('rxjs-sockets.owner');

/** A socket that tells its NodeSocket what happens: listeners of each one's own would be most of what it costs. */
interface Owned extends net.Socket {
  [owner]?: NodeSocket;
}

function onData(this: Owned, chunk: Buffer): void {
  this[owner]?.received(chunk);
}

function onRead(this: Owned, count: number, memory: Buffer): true {
  this[owner]?.read(count, memory);
  return true;
}

function onEnd(this: Owned): void {
  this[owner]?.streamEnded();
}

function onError(this: Owned, cause: Error): void {
  this[owner]?.failed(cause);
}

function onClose(this: Owned): void {
  this[owner]?.gone();
}

function ignore(): void {
  // The handshake reports what goes wrong below it.
}

/** What is known of a socket on which TLS is spoken. */
interface Security {
  readonly info: TlsInfo;
  /** Whether the stream was cut off. */
  readonly end: StreamEnd;
  readonly allowHalfClosed: boolean;
}

/** One `net.Socket` behind the interface that the connections are built on. */
export class NodeSocket implements TransportSocket {
  readonly local: Address;
  readonly remote: Address;
  readonly scheduler: FlushScheduler = processFlushScheduler;

  /** What is read and written: where TLS is on, the socket above `raw`. */
  private socket: Owned;
  private readonly raw: Owned;
  /** The address that was dialled; undefined where the socket was accepted. */
  private readonly dialled: Address | undefined;
  /** Whether the peer is the client of TLS, which it is where it has dialled, unless `startTls` says otherwise. */
  private isTlsServer: boolean;
  /** What is known of the peer since the handshake; undefined where TLS isn't spoken, or not yet. */
  private security: Security | undefined;
  /** Whether the handshake of a TLS that was started later is under way. */
  private securing = false;
  private events: Keeper | undefined;
  private failure: unknown;
  private closed = false;
  /** Whether anything was received. */
  private heard = false;
  /** How many clients had been accepted when something was received last, or when Node could give what it had. */
  private accepts = 0;
  private ending = false;
  private isPaused = false;
  /** Whether the peer has. */
  private hasEnded = false;
  /** Whether nothing more is to be told. */
  private deaf = false;
  /** Whose memory it reads into: of all, its own, or where the bytes belong. */
  private reads: 'shared' | 'own' | 'place' = 'shared';
  /** Writes are numbered, since the callback of one that was taken at once comes after the next may have begun. */
  private writes = 0;
  private callbacks = 0;
  private awaited = 0;
  private callback: ((error?: Error | null) => void) | undefined;

  constructor(raw: net.Socket, local: Address, remote: Address, dialled?: Address, secured?: Secured) {
    this.raw = raw;
    this.socket = raw;
    this.local = local;
    this.remote = remote;
    this.dialled = dialled;
    this.isTlsServer = dialled === undefined;
    flushAtExit();
    this.raw[owner] = this;
    raw.on('error', onError);
    if (secured === undefined) raw.on('close', onClose);
    else this.attachTls(secured);
  }

  get tls(): TlsInfo | undefined {
    return this.security?.info;
  }

  get controls(): SocketControls {
    return this.raw;
  }

  get unsent(): number {
    // Nobody knows any more how far a write had come.
    if (this.isBroken) return Infinity;
    // What TLS has encrypted has another length.
    if (this.security !== undefined) return this.socket.writableLength;
    const handle = (this.socket as { _handle?: { writeQueueSize?: number } | null })._handle;
    return handle?.writeQueueSize ?? this.socket.writableLength;
  }

  open(events: Keeper): void {
    this.events = events;
    const { socket } = this;
    if (this.closed) {
      process.nextTick(() => {
        this.report(events);
      });
      return;
    }
    if (events.keeps === undefined || this.security !== undefined || !readInto(socket, readBlock, onRead)) {
      socket.on('data', onData);
    }
    socket.on('end', onEnd);
    if (!this.isPaused) socket.resume();
  }

  startTls(options: StartTlsOptions): (secured: () => void) => void {
    const start = prepareTls(options, this.dialled);
    this.isTlsServer = isTlsServer(options, this.dialled);
    return (secured) => {
      const { raw } = this;
      if (this.deaf || this.closed) return;
      if (raw.readableLength > 0) {
        this.failed(handshakeError(new Error('bytes came in the clear'), undefined, this.remote));
        return;
      }
      this.securing = true;
      this.detachPlain();
      start(raw, this.remote, {
        secured: (made) => {
          this.securing = false;
          raw.off('error', ignore);
          raw.on('error', onError);
          this.attachTls(made);
          // It is about to be reset.
          if (this.deaf) return;
          this.heard = false;
          made.socket.on('data', onData);
          made.socket.on('end', onEnd);
          if (!this.isPaused) made.socket.resume();
          secured();
        },
        failed: (error) => {
          this.failed(error);
        },
      });
    };
  }

  /** From now on TLS reads and writes `raw`. */
  private detachPlain(): void {
    const { raw } = this;
    raw.off('data', onData);
    raw.off('end', onEnd);
    raw.off('close', onClose);
    raw.off('error', onError);
    raw.on('error', ignore);
    if (this.reads === 'own') ownBlocks--;
    this.reads = 'shared';
    stopReading(raw, readBlock);
  }

  private attachTls({ socket, allowHalfClosed }: Secured): void {
    this.socket = socket;
    this.socket[owner] = this;
    socket.on('error', onError);
    socket.on('close', onClose);
    this.security = { info: tlsInfo(socket, !this.isTlsServer), end: watchEnd(socket), allowHalfClosed };
    socket.pause();
  }

  pause(): void {
    this.isPaused = true;
    this.socket.pause();
  }

  resume(): void {
    this.isPaused = false;
    // The end that came with the last bytes may have waited, too.
    this.accepts = acceptedSoFar();
    this.socket.resume();
  }

  write(data: Uint8Array | string, encoding: 'utf8' | 'latin1'): boolean {
    this.writes++;
    this.socket.write(data, encoding, this.written);
    return this.taken();
  }

  writeAll(pieces: readonly Uint8Array[]): boolean {
    this.socket.cork();
    for (const piece of pieces) {
      this.writes++;
      this.socket.write(piece, this.written);
    }
    this.socket.uncork();
    return this.taken();
  }

  end(): void {
    if (this.security === undefined) {
      this.endNow();
      return;
    }
    // Behind a write that TLS has not yet done with, which may have called back already, its close_notify would be lost.
    setImmediate(() => {
      this.endNow();
    });
  }

  /** Within a call of OpenSSL's, which tells that the handshake is over, say, a reset would crash the process. */
  reset(): void {
    this.socket.off('data', onData);
    this.deaf = true;
    if (this.security === undefined && !this.securing) {
      this.resetNow();
      return;
    }
    setImmediate(() => {
      this.resetNow();
    });
  }

  drop(): void {
    this.socket.off('data', onData);
    this.deaf = true;
    this.socket.destroy();
    this.raw.destroy();
  }

  /** Whether the kernel has taken everything: Node keeps nothing back. */
  private taken(): boolean {
    // A write that fails at once leaves nothing behind either.
    if (this.socket.writableLength === 0 && !this.isBroken) return true;
    this.awaited = this.writes;
    return false;
  }

  private endNow(): void {
    this.ending = true;
    this.socket.end();
  }

  /**
   * libuv can't reset a socket while its FIN is under way (EINVAL, and no `'close'` after it), but it can once that is
   * with the kernel: in the next turn, unless the kernel has no room for what TLS ends its stream with.
   *
   * @param patience - how many turns to wait for that
   */
  private resetNow(patience = 2): void {
    const { raw, socket } = this;
    const isTcp = raw.remoteFamily !== undefined && !raw.destroyed;
    if (isTcp && this.ending && !socket.writableFinished && patience > 0) {
      setImmediate(() => {
        this.resetNow(patience - 1);
      });
      return;
    }
    // A peer that has finished lacks nothing.
    if (isTcp && (!this.ending || (socket.writableFinished && !this.hasEnded))) raw.resetAndDestroy();
    socket.destroy();
    raw.destroy();
  }

  /** What each write calls back, made for the first one. */
  private get written(): (error?: Error | null) => void {
    this.callback ??= (error) => {
      this.callbacks++;
      if (error !== undefined && error !== null) return;
      if (this.awaited === 0 || this.callbacks < this.awaited) return;
      this.awaited = 0;
      this.events?.onDrain();
    };
    return this.callback;
  }

  /** @internal */
  received(chunk: Buffer): void {
    this.heard = true;
    this.accepts = acceptedSoFar();
    this.events?.onData(chunk);
  }

  /**
   * A chunk lies at the beginning of `memory`: in the block that all sockets share it is lent. Who keeps what comes is
   * given memory for good, as long as there is enough in it.
   *
   * @internal
   */
  read(count: number, memory: Buffer): void {
    const { events, reads } = this;
    this.reads = 'shared';
    if (reads === 'own') ownBlocks--;
    if (this.deaf || events === undefined) return;
    const isLarge = count >= readBlock.length / 2;
    try {
      if (isLarge || reads !== 'own') this.received(memory.subarray(0, count));
      else {
        memory.copy(readBlock, 0, 0, count);
        this.received(readBlock.subarray(0, count));
      }
    } catch (error) {
      // Node would not ask for the next memory, and read over what was given for good.
      setImmediate(() => {
        throw error;
      });
    }
    const next = this.memoryFor(events, isLarge);
    if (next !== memory) readOn(this.socket, next);
  }

  private memoryFor(events: Keeper, isLarge: boolean): Buffer {
    const { room } = events;
    if (room !== undefined) {
      this.reads = 'place';
      return room;
    }
    if (!isLarge || events.keeps !== true || ownBlocks === mostOwnBlocks || this.closed) return readBlock;
    this.reads = 'own';
    ownBlocks++;
    return Buffer.allocUnsafeSlow(readBlock.length);
  }

  /** @internal */
  streamEnded(): void {
    const { events, raw, socket, security } = this;
    this.hasEnded = true;
    if (events === undefined) return;
    const truncated = security?.end.truncated;
    // What TLS has ended itself is whole, whatever became of the transport below it.
    const reset = truncated === false || !this.mayHideReset ? undefined : hiddenReset(raw);
    if (reset !== undefined) {
      this.failure ??= reset;
      socket.destroy();
    } else if (truncated === true && (this.isTlsServer || !this.heard)) {
      // Of a server that ends in the turn of its first write Node sends no close_notify.
      const message = 'the stream was cut off: it has ended without a close_notify';
      const error = new SocketError('ERR_TLS', message, { address: this.remote });
      events.onEnd(error, security?.allowHalfClosed);
    } else events.onEnd();
  }

  /** Whether the end may have come with the last bytes: only then can it hide a reset. */
  private get mayHideReset(): boolean {
    return !this.heard || this.accepts === acceptedSoFar();
  }

  /** @internal */
  failed(cause: Error): void {
    // What comes of a reset of this side is no failure; what was noticed before it is (C12).
    if (!this.deaf) this.failure ??= cause;
    this.socket.destroy();
    // A TLS socket may have told its error and then never close.
    setImmediate(() => {
      this.gone();
    });
  }

  private get isBroken(): boolean {
    return this.socket.destroyed || (this.socket.errored ?? null) !== null;
  }

  /** @internal */
  gone(): void {
    if (this.closed) return;
    this.closed = true;
    if (this.reads === 'own') ownBlocks--;
    this.reads = 'shared';
    const { events, socket } = this;
    forget(socket);
    if (events === undefined) return;
    // What Node had read when the socket was paused is still its own; it would give it to the listener as well.
    socket.off('data', onData);
    while (socket.readableLength > 0) {
      const rest = socket.read() as Buffer | null;
      if (rest === null) break;
      events.onData(rest);
    }
    this.report(events);
  }

  private report(events: SocketEvents): void {
    events.onClose(this.failure === undefined ? undefined : this.errorOf(this.failure));
  }

  private errorOf(cause: unknown): SocketError {
    const action = 'the connection failed';
    return this.security === undefined ? systemError(cause, action, this.remote) : tlsError(cause, action, this.remote);
  }
}
