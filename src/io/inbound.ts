import type { SocketError } from '../errors/socket-error.js';
import type { TransportSocket } from '../transport/transport.js';
import { ChunkQueue } from '../bytes/chunk-queue.js';

/**
 * While no reader is allowed to emit, up to this many bytes are read ahead, so that the end of the stream is noticed
 * (F1, F3).
 */
export const readAhead = 65_536;

/** A receiver with subscribers. */
export interface Reader {
  /** Whether the reader is allowed to emit. */
  readonly flowing: boolean;
  /** Decodes and emits values until the reader needs more bytes, or is held. */
  drain(): void;
  /** Completes the reader's subscribers, or passes the error to these subscribers. */
  end(end: 'fin' | SocketError): void;
}

/** Whether, and how, the stream has ended for the readers. */
export type End = 'open' | 'fin' | SocketError;

/**
 * The receiving side of one connection. An Inbound queues received bytes without decoding them. If there are several
 * readers, only the newest reader reads. When the newest reader leaves, the previous reader continues at the first byte
 * that has not been decoded (C15).
 *
 * The class has two state machines. The mode decides what happens to received bytes:
 *
 * | mode         | queued bytes                | received bytes                               | next mode                             |
 * | ------------ | --------------------------- | -------------------------------------------- | ------------------------------------- |
 * | `reading`    | are kept for a reader       | are queued until the socket pauses           | `lingering` on `linger`               |
 * | `lingering`  | are kept for a reader       | are queued while the reader may emit         | `discarding` when the reader may not  |
 * | `discarding` | are dropped                 | are dropped                                  |                                       |
 *
 * `abort` changes any mode to `discarding`.
 *
 * The end of the stream decides what the readers get after the queued bytes:
 *
 * | end     | the readers get                | received bytes             | next end                                        |
 * | ------- | ------------------------------ | -------------------------- | ----------------------------------------------- |
 * | `open`  | what arrives next              | as the mode says           | `fin` on `stop` or `finish`, error on `finish`  |
 * | `fin`   | the completion                 | after `stop`: are dropped  | after `stop`: error on `finish` with an error   |
 * | error   | the error                      | as before the error        |                                                 |
 */
export class Inbound {
  readonly queue: ChunkQueue = new ChunkQueue();

  private readonly socket: TransportSocket;
  private mode: 'reading' | 'lingering' | 'discarding' = 'reading';
  private endOfStream: End = 'open';
  private stopped = false;
  private peerFinished = false;
  private cutOffAllowed = false;
  private paused = false;
  private readers: readonly Reader[] = [];
  /** The newest of `readers`. The property exists because a look-up in `readers` for each chunk would be slower. */
  private current: Reader | undefined = undefined;
  private wasAttached = false;
  private endDelivered = false;
  private receivedBytes = 0;

  constructor(socket: TransportSocket) {
    this.socket = socket;
  }

  get received(): number {
    return this.receivedBytes;
  }

  get end(): End {
    return this.endOfStream;
  }

  /**
   * Whether the peer's stream was cut off in a way that the options permit (T5, T11). The remaining bytes of a stream
   * that was cut off are not decoded.
   */
  get hasAllowedCutOff(): boolean {
    return this.cutOffAllowed;
  }

  /** Whether the connection has ever had a reader. */
  get claimed(): boolean {
    return this.wasAttached;
  }

  /** Whether a reader has received the end, so that nothing is left for a later reader. */
  get isRead(): boolean {
    return this.endDelivered;
  }

  get hasReader(): boolean {
    return this.readers.length > 0;
  }

  /** Whether newly received bytes are dropped. */
  get discarding(): boolean {
    return this.mode === 'discarding' || this.stopped;
  }

  /** Whether `stop` has ended the stream for the readers, although the peer had not finished (S7). */
  get isStopped(): boolean {
    return this.stopped;
  }

  /**
   * Whether this side is reading. This side is not reading after a failure or after `stop`, while the socket is paused,
   * or while the current reader is held.
   */
  get isReady(): boolean {
    const isOver = this.stopped || typeof this.end === 'object';
    return !isOver && !this.paused && (this.current === undefined || this.current.flowing);
  }

  /**
   * Whether a reader or the queue might keep the next bytes. Bytes that might be kept should be read into memory that
   * is not shared.
   */
  get keeps(): boolean {
    if (this.discarding) return false;
    return this.queue.wasViewed || this.current === undefined;
  }

  /** The memory into which the next bytes should be read, if the decoder has announced a frame. */
  get room(): Buffer | undefined {
    return this.discarding ? undefined : this.queue.room;
  }

  /** Whether `reader` is the newest reader. Older readers wait. */
  isReading(reader: Reader): boolean {
    return this.current === reader;
  }

  /** Whether `reader` is reading, or waits until all newer readers have left. */
  has(reader: Reader): boolean {
    return this.readers.includes(reader);
  }

  attach(reader: Reader): void {
    this.wasAttached = true;
    this.readers = this.readers.length === 0 ? [reader] : [...this.readers, reader];
    this.current = reader;
  }

  detach(reader: Reader): void {
    const wasReading = this.isReading(reader);
    this.readers = this.readers.filter((other) => other !== reader);
    this.current = this.readers[this.readers.length - 1];
    if (wasReading && this.current !== undefined) this.wakeSoon();
    this.slacken();
  }

  /** Makes the newest reader emit the queued values after the running code has ended. */
  wakeSoon(): void {
    this.socket.scheduler.defer(() => {
      this.current?.drain();
    });
  }

  block(): void {
    this.paused = true;
    this.socket.pause();
  }

  /**
   * Call when the reader has been held or has left. A closing connection does not wait for a reader: the connection
   * drops the queued bytes, and all bytes that still arrive (C11).
   */
  slacken(): void {
    if (this.mode === 'lingering') this.regulate(false);
  }

  data(chunk: Buffer): void {
    this.receivedBytes += chunk.length;
    if (this.discarding) return;
    this.queue.push(chunk);
    try {
      this.deliver();
    } finally {
      this.queue.keepRest();
    }
    this.regulate(false);
  }

  /** Call before `finish` if the peer's stream was cut off in a way that the options permit. */
  allowCutOff(): void {
    this.cutOffAllowed = true;
  }

  /** Ends `reader`, which has emitted all values that it can decode. */
  endReader(reader: Reader, end: 'fin' | SocketError): void {
    // After `stop`, an incomplete frame is never completed. A later reader must not decode the bytes of this frame.
    if (this.stopped) this.queue.clear();
    this.endDelivered = true;
    this.detach(reader);
    reader.end(end);
  }

  /**
   * Ends each reader when the reader has emitted everything received. Call when the peer has finished, or the
   * connection has failed (C7, C8).
   */
  finish(end: 'fin' | SocketError): void {
    if (end === 'fin') this.peerFinished = true;
    // An error replaces the end that `stop` has set: readers that have not reached this end get the error.
    if (this.end !== 'open' && (end === 'fin' || !this.stopped)) return;
    this.endOfStream = end;
    this.deliver();
  }

  /**
   * Completes each reader when the reader has emitted everything received. Bytes that arrive later are read and dropped
   * (S7).
   */
  stop(): void {
    if (this.end !== 'open') return;
    this.stopped = true;
    this.endOfStream = 'fin';
    this.resume();
    this.deliver();
  }

  private deliver(): void {
    const { scheduler } = this.socket;
    scheduler.enter();
    try {
      this.current?.drain();
    } finally {
      scheduler.leave();
    }
  }

  /** Drops the queued bytes, and immediately ends every reader with `error`. */
  abort(error: SocketError): void {
    this.mode = 'discarding';
    this.queue.clear();
    this.endOfStream = error;
    this.endDelivered = true;
    const readers = this.readers;
    this.readers = [];
    this.current = undefined;
    for (const reader of readers) reader.end(error);
  }

  /** Drops the bytes of an incomplete frame that will never be completed. */
  dropRest(): void {
    this.queue.clear();
  }

  /** Keeps reading until the peer's FIN, and drops everything that no reader takes (C11). */
  linger(): void {
    if (this.mode === 'reading') this.mode = 'lingering';
    this.regulate(false);
  }

  /**
   * Pauses or resumes the socket, depending on the number of queued bytes.
   *
   * @param starved - whether the reader has found no complete frame in the queued bytes
   */
  regulate(starved: boolean): void {
    const flowing = starved || this.current?.flowing === true;
    if (this.mode === 'lingering' && !flowing) {
      this.mode = 'discarding';
      this.queue.clear();
    }
    if (this.paused) {
      if (starved || this.mode === 'discarding' || this.queue.length <= readAhead / 2) this.resume();
    } else if (!flowing && this.queue.length > readAhead && this.end === 'open') this.block();
  }

  /** Resumes the socket, even if its bytes are dropped, because the peer's FIN arrives only after these bytes. */
  private resume(): void {
    if (!this.paused) return;
    this.paused = false;
    if (!this.peerFinished) this.socket.resume();
  }

  get isPaused(): boolean {
    return this.paused;
  }
}
