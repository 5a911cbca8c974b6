import { type Duplex, finished } from 'node:stream';
import type { Address } from '../../address/address.js';
import { SocketError } from '../../errors/socket-error.js';
import { systemError } from '../../errors/node-errors.js';
import type { FlushScheduler } from '../../scheduling/flush-scheduler.js';
import { flushAtExit, processFlushScheduler } from '../../scheduling/process-flush-scheduler.js';
import type { SocketEvents } from '../../transport/transport.js';
import { destroyReason, type StreamSocket } from './connection-over-stream.js';

/**
 * Pieces of at most this many bytes are copied before they are written. Without a copy, a stream that keeps a small
 * piece would keep the whole block of memory that contains the piece.
 */
const maxCopied = 4_096;

const nodeStream: Address = { transport: 'memory', name: 'node-stream' };

function ignore(): void {
  // `finished` reports the error.
}

export class NodeStreamTransportSocket implements StreamSocket {
  readonly local: Address = nodeStream;
  readonly remote: Address = nodeStream;
  readonly scheduler: FlushScheduler = processFlushScheduler;
  readonly tls = undefined;

  private readonly stream: Duplex;
  /** Undefined before `open` is called, and after `onClose` was called. */
  private events: SocketEvents | undefined;
  private isPaused = false;
  /** `ended`: `onEnd` was called. `reset`: `reset` was called, so only `onClose` can follow. */
  private state: 'receiving' | 'ended' | 'reset' = 'receiving';
  private resetReason: SocketError | undefined;
  private pendingWrites = 0;
  private stopWatching: (() => void) | undefined;

  constructor(stream: Duplex) {
    this.stream = stream;
    flushAtExit();
  }

  get unsent(): number {
    const { stream } = this;
    // When the stream has been destroyed, it is unknown how much of the last write was sent.
    return stream.destroyed ? Infinity : stream.writableLength;
  }

  open(events: SocketEvents): void {
    this.events = events;
    const { stream } = this;
    stream.on('error', ignore);
    if (stream.readable) {
      stream.on('data', this.onData);
      stream.on('end', this.onEnd);
      if (!this.isPaused) stream.resume();
    } else if (!stream.destroyed) process.nextTick(this.onEnd);
    this.stopWatching = finished(stream, (error) => {
      // An error after a local reset is ignored (C12).
      const failure = this.state === 'reset' || error === null ? undefined : error;
      setImmediate(() => this.closed(failure));
    });
  }

  setResetReason(error: SocketError): void {
    this.resetReason ??= error;
  }

  pause(): void {
    this.isPaused = true;
    this.stream.pause();
  }

  resume(): void {
    this.isPaused = false;
    if (this.events !== undefined) this.stream.resume();
  }

  write(data: Uint8Array | string, encoding: 'utf8' | 'latin1'): boolean {
    return this.writeAll([typeof data === 'string' ? Buffer.from(data, encoding) : data]);
  }

  /**
   * Always returns false. If the result were true, the caller would reuse the memory of the pieces, but the stream may
   * still refer to the pieces. A PassThrough keeps the pieces even after it has called the callback of the write.
   */
  writeAll(pieces: readonly Uint8Array[]): boolean {
    const { stream } = this;
    this.pendingWrites = pieces.length;
    stream.cork();
    for (const piece of pieces) stream.write(piece.length <= maxCopied ? Buffer.from(piece) : piece, this.onWritten);
    stream.uncork();
    return false;
  }

  end(): void {
    if (this.stream.writable) this.stream.end();
  }

  reset(): void {
    const { stream, resetReason: reason } = this;
    this.state = 'reset';
    stream.off('data', this.onData);
    const cause = reason === undefined ? undefined : destroyReason(reason);
    resetTcp(stream);
    stream.destroy(cause instanceof Error ? cause : reason);
    setImmediate(() => this.closed(undefined));
  }

  private readonly onData = (chunk: Buffer): void => {
    this.events?.onData(chunk);
  };

  private readonly onEnd = (): void => {
    if (this.events !== undefined) this.reportEnd(this.events);
  };

  private readonly onWritten = (error?: Error | null): void => {
    // `finished` reports the error.
    if (error !== undefined && error !== null) return;
    if (--this.pendingWrites > 0) return;
    // Call `onDrain` in a later turn. If `onDrain` were called in this turn, a source as fast as the stream would block
    // the event loop.
    setImmediate(() => {
      if (this.state !== 'reset') this.events?.onDrain();
    });
  };

  private closed(failure: Error | undefined): void {
    const { events, stream } = this;
    if (events === undefined) return;
    this.events = undefined;
    this.stopWatching?.();
    stream.off('data', this.onData);
    stream.off('end', this.onEnd);
    // A failed stream may emit a second 'error' before it closes. The second 'error' must not end the process.
    if (stream.closed || (failure === undefined && this.state !== 'reset')) stream.off('error', ignore);
    else stream.once('close', () => stream.off('error', ignore));
    if (this.state !== 'reset') this.reportBuffered(events);
    if (failure === undefined) this.reportEnd(events);
    events.onClose(failure === undefined ? undefined : errorOf(failure));
  }

  private reportEnd(events: SocketEvents): void {
    if (this.state !== 'receiving') return;
    this.state = 'ended';
    events.onEnd();
  }

  /** Passes the bytes that a paused stream has buffered to `onData`, even if the stream was destroyed. */
  private reportBuffered(events: SocketEvents): void {
    for (let rest = this.readMore(); rest !== null; rest = this.readMore()) events.onData(rest);
  }

  private readMore(): Buffer | null {
    return this.stream.readableLength > 0 ? (this.stream.read() as Buffer | null) : null;
  }
}

/**
 * Resets a TCP socket. `stream.destroy` would send a FIN, and the peer would take the incomplete data for complete data
 * (C8, C20).
 */
function resetTcp(stream: Duplex & { resetAndDestroy?: () => unknown }): void {
  // libuv cannot reset a socket that is sending its FIN. After both sides have sent their FIN, there is no connection
  // to reset.
  const isEnding = stream.writableEnded && (!stream.writableFinished || stream.readableEnded);
  if (stream.destroyed || isEnding) return;
  try {
    stream.resetAndDestroy?.();
  } catch {
    // The stream is not a TCP socket, so the stream cannot be reset.
  }
}

function errorOf(failure: Error): SocketError {
  if ((failure as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') {
    return systemError(failure, 'the stream failed', nodeStream);
  }
  const message = 'the stream was closed before both of its sides had ended';
  return new SocketError('ECONNABORTED', message, { address: nodeStream, cause: failure });
}
