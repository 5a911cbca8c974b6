import { type Duplex, finished } from 'node:stream';
import type { Address } from '../address/address.js';
import { SocketError } from '../errors/socket-error.js';
import { systemError } from '../errors/node-errors.js';
import type { FlushScheduler } from '../scheduling/flush-scheduler.js';
import { flushAtExit, processFlushScheduler } from '../scheduling/process-flush-scheduler.js';
import type { SocketEvents } from '../transport/transport.js';
import { reasonFor, type StreamSocket } from './stream-connection.js';

/** Of pieces up to this size a copy is written: a stream may keep them, and with each all of the memory that it lies in. */
const copied = 4_096;

/** What a Channel over a Node stream names as the address of both ends. */
const nodeStream: Address = { transport: 'memory', name: 'node-stream' };

function ignore(): void {
  // `finished` reports it.
}

/** A Node stream behind the interface that the connections are built on. */
export class DuplexSocket implements StreamSocket {
  readonly local: Address = nodeStream;
  readonly remote: Address = nodeStream;
  readonly scheduler: FlushScheduler = processFlushScheduler;
  readonly tls = undefined;

  private readonly stream: Duplex;
  private events: SocketEvents | undefined;
  private isPaused = false;
  /** Whether the end of what is received was reported. */
  private hasEnded = false;
  /** Whether this side has given the stream up, so that nothing more is to be reported. */
  private deaf = false;
  private closed = false;
  /** Why it is destroyed. */
  private reason: SocketError | undefined;
  /** How many of the pieces that were written the stream has not called back for. */
  private pending = 0;
  private ignoreEnd: (() => void) | undefined;

  constructor(stream: Duplex) {
    this.stream = stream;
    flushAtExit();
  }

  get unsent(): number {
    const { stream } = this;
    // Nobody knows any more how far a write had come.
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
    this.ignoreEnd = finished(stream, (error) => {
      // What was noticed before a local end stands (C12).
      const failure = this.deaf || error === null ? undefined : error;
      setImmediate(() => this.gone(failure));
    });
  }

  failing(error: SocketError): void {
    this.reason ??= error;
  }

  pause(): void {
    this.isPaused = true;
    this.stream.pause();
  }

  resume(): void {
    this.isPaused = false;
    if (!this.closed) this.stream.resume();
  }

  write(data: Uint8Array | string, encoding: 'utf8' | 'latin1'): boolean {
    return this.writeAll([typeof data === 'string' ? Buffer.from(data, encoding) : data]);
  }

  /**
   * What is written may go on lying in the stream after its callback, as in a PassThrough, so that its memory must not serve
   * again. Therefore it is never said to be taken at once.
   */
  writeAll(pieces: readonly Uint8Array[]): boolean {
    const { stream } = this;
    this.pending = pieces.length;
    stream.cork();
    for (const piece of pieces) stream.write(piece.length <= copied ? Buffer.from(piece) : piece, this.onWritten);
    stream.uncork();
    return false;
  }

  end(): void {
    if (this.stream.writable) this.stream.end();
  }

  reset(): void {
    const { stream, reason } = this;
    this.deaf = true;
    stream.off('data', this.onData);
    const cause = reason === undefined ? undefined : reasonFor(reason);
    resetTcp(stream);
    stream.destroy(cause instanceof Error ? cause : reason);
    setImmediate(() => this.gone(undefined));
  }

  private readonly onData = (chunk: Buffer): void => {
    this.events?.onData(chunk);
  };

  private readonly onEnd = (): void => {
    if (this.deaf || this.hasEnded) return;
    this.hasEnded = true;
    this.events?.onEnd();
  };

  private readonly onWritten = (error?: Error | null): void => {
    // `finished` reports it.
    if (error !== undefined && error !== null) return;
    if (--this.pending > 0) return;
    // Told within the callback, a source that is as fast as the stream would keep the event loop from going round.
    setImmediate(() => {
      if (!this.closed && !this.deaf) this.events?.onDrain();
    });
  };

  private gone(failure: Error | undefined): void {
    const { events, stream } = this;
    if (this.closed || events === undefined) return;
    this.closed = true;
    this.ignoreEnd?.();
    stream.off('data', this.onData);
    stream.off('end', this.onEnd);
    // One that has failed may do so again until it is closed, and that must not end the process.
    if (stream.closed || (failure === undefined && !this.deaf)) stream.off('error', ignore);
    else stream.once('close', () => stream.off('error', ignore));
    if (!this.deaf) this.reportRest(events);
    if (failure === undefined) this.onEnd();
    events.onClose(failure === undefined ? undefined : errorOf(failure));
  }

  /** What a stream has read and not given, since it was paused, is there even after it was destroyed. */
  private reportRest(events: SocketEvents): void {
    for (let rest = this.readMore(); rest !== null; rest = this.readMore()) events.onData(rest);
  }

  private readMore(): Buffer | null {
    return this.stream.readableLength > 0 ? (this.stream.read() as Buffer | null) : null;
  }
}

/** A peer that a `destroy` sends a mere FIN would take what it got for the whole (C8, C20). A reset has no reason to it. */
function resetTcp(stream: Duplex & { resetAndDestroy?: () => unknown }): void {
  // libuv can't reset a socket while its FIN is under way, and after the FINs of both sides nothing is left to reset.
  const isEnding = stream.writableEnded && (!stream.writableFinished || stream.readableEnded);
  if (stream.destroyed || isEnding) return;
  try {
    stream.resetAndDestroy?.();
  } catch {
    // Sockets of another kind know no reset.
  }
}

function errorOf(failure: Error): SocketError {
  if ((failure as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') {
    return systemError(failure, 'the stream failed', nodeStream);
  }
  const message = 'the stream was closed before both of its sides had ended';
  return new SocketError('ECONNABORTED', message, { address: nodeStream, cause: failure });
}
