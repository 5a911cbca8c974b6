import type { SocketError } from '../errors/socket-error.js';
import type { TransportSocket } from '../transport/transport.js';
import { ChunkQueue } from '../bytes/chunk-queue.js';

/** So many bytes are read ahead without a reader, so that the end of the peer's stream is noticed (F1, F3). */
export const readAhead = 65_536;

/** A receiver with subscribers. */
export interface Reader {
  /** Whether it may emit. */
  readonly flowing: boolean;
  /** Decodes and emits what it can. */
  drain(): void;
  /** Ends its subscribers as the stream has ended. */
  end(end: 'fin' | SocketError): void;
}

/** How the receiving side has ended, once it has. */
export type End = 'open' | 'fin' | SocketError;

/**
 * The receiving side of one connection. Bytes wait here undecoded. Of several readers the newest reads; when it leaves,
 * the one before it goes on at the first byte that was not decoded (C13).
 *
 * | mode         | what arrives is                                                | becomes                                     |
 * | ------------ | -------------------------------------------------------------- | ------------------------------------------- |
 * | `reading`    | decoded for the reader, or read ahead until the socket pauses  | `lingering` by `linger`                     |
 * | `lingering`  | decoded for the reader while it may emit                       | `discarding` when the reader stops emitting |
 * | `discarding` | dropped                                                        |                                             |
 *
 * `abort` leads from each mode to `discarding`. `stop` ends the stream for the readers, after which all is dropped, too.
 */
export class Inbound {
  readonly queue: ChunkQueue = new ChunkQueue();
  /** The number of bytes received. */
  received = 0;
  end: End = 'open';
  /** Whether the peer's stream was cut off in a way that is allowed: then an incomplete frame is not the last frame. */
  hasAllowedCutOff = false;
  /** Whether anybody has ever read. */
  claimed = false;
  /** Whether a reader has received the end: nothing is left for a later one. */
  isRead = false;

  private readonly socket: TransportSocket;
  private readers: readonly Reader[] = [];
  /** The last of them. */
  private current: Reader | undefined = undefined;
  private paused = false;
  private mode: 'reading' | 'lingering' | 'discarding' = 'reading';
  private stopped = false;
  private peerFinished = false;

  constructor(socket: TransportSocket) {
    this.socket = socket;
  }

  get hasReader(): boolean {
    return this.readers.length > 0;
  }

  /** Whether arriving bytes are dropped. */
  get discarding(): boolean {
    return this.mode === 'discarding' || this.stopped;
  }

  /** Whether this side has ended the stream for its readers, before the peer has (S7). */
  get isStopped(): boolean {
    return this.stopped;
  }

  /**
   * Whether this side is ready to read: nobody holds it, it has not read so far ahead that it stopped, and it has not
   * ended the stream itself.
   */
  get isReady(): boolean {
    const isOver = this.stopped || typeof this.end === 'object';
    return !isOver && !this.paused && (this.current === undefined || this.current.flowing);
  }

  /** Whether somebody may keep arriving bytes: then they should lie in memory that can be given away. */
  get keeps(): boolean {
    if (this.discarding) return false;
    return this.queue.wasViewed || this.current === undefined;
  }

  /** Where the next bytes belong, if that is known. */
  get room(): Buffer | undefined {
    return this.discarding ? undefined : this.queue.room;
  }

  /** Whether `reader` is the one that reads. */
  isReading(reader: Reader): boolean {
    return this.current === reader;
  }

  /** Whether `reader` reads, or waits for its turn. */
  has(reader: Reader): boolean {
    return this.readers.includes(reader);
  }

  attach(reader: Reader): void {
    this.claimed = true;
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

  /** Lets the reader emit what waits, once the running code has ended. */
  wakeSoon(): void {
    this.socket.scheduler.defer(() => {
      this.current?.drain();
    });
  }

  /** Stops reading until a reader asks for more. */
  block(): void {
    this.paused = true;
    this.socket.pause();
  }

  /** The reader has paused or left: a connection that is closing waits for no other (C11). */
  slacken(): void {
    if (this.mode === 'lingering') this.regulate(false);
  }

  /** A chunk arrived: it is decoded and emitted as far as the reader wants it. */
  data(chunk: Buffer): void {
    this.received += chunk.length;
    if (this.discarding) return;
    this.queue.push(chunk);
    try {
      this.deliver();
    } finally {
      this.queue.keepRest();
    }
    this.regulate(false);
  }

  /** Call before `finish` if the peer's stream was cut off in a way that is allowed. */
  allowCutOff(): void {
    this.hasAllowedCutOff = true;
  }

  /** Gives `reader`, which has emitted all that it can, the end of the stream. */
  endReader(reader: Reader, end: 'fin' | SocketError): void {
    // A frame that this side does not wait for is dropped, and not taken for a whole one.
    if (this.stopped) this.queue.clear();
    this.isRead = true;
    this.detach(reader);
    reader.end(end);
  }

  /** The peer has finished, or the connection has failed: readers learn it after all that was received (C7, C8). */
  finish(end: 'fin' | SocketError): void {
    if (end === 'fin') this.peerFinished = true;
    // An abort is not a completion, not even for a reader that has not reached this side's own end of the stream yet.
    if (this.end !== 'open' && (end === 'fin' || !this.stopped)) return;
    this.end = end;
    this.deliver();
  }

  /** Ends the stream for its readers after what was received; what the peer still sends is read and dropped (S7). */
  stop(): void {
    if (this.end !== 'open') return;
    this.stopped = true;
    this.end = 'fin';
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

  /** Drops what waits and ends every reader at once. */
  abort(error: SocketError): void {
    this.mode = 'discarding';
    this.queue.clear();
    this.end = error;
    this.isRead = true;
    const readers = this.readers;
    this.readers = [];
    this.current = undefined;
    for (const reader of readers) reader.end(error);
  }

  /** Reads on to the peer's FIN, and drops what no reader wants any more (C11). */
  linger(): void {
    if (this.mode === 'reading') this.mode = 'lingering';
    this.regulate(false);
  }

  /**
   * Pauses or resumes the socket by the number of bytes that wait.
   *
   * @param starved - whether the reader has found no whole frame in what waits
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

  /** Bytes that are dropped are read as well: the end of the peer's stream comes after them. */
  private resume(): void {
    if (!this.paused) return;
    this.paused = false;
    if (!this.peerFinished) this.socket.resume();
  }

  /** Whether the socket is paused. Readers ask after each frame. */
  get isPaused(): boolean {
    return this.paused;
  }
}
