import type { Subscriber, TeardownLogic } from 'rxjs';
import type { ByteQueue } from '../bytes/byte-queue.js';
import type { Decoder } from '../codecs/codec.js';
import { borrowChunk } from '../codecs/raw-bytes.js';
import { describeError } from '../errors/describe-value.js';
import { SocketError } from '../errors/socket-error.js';
import { type FlowSource, Multicast } from '../flow/multicast.js';
import type { Inbound, Reader } from '../io/inbound.js';
import type { ChannelHost } from './channel-host.js';

/** A part of a stream, such as a body. */
export interface StreamPart {
  /** Whether all of the part has been decoded. The bytes after the part belong to the next reader. */
  readonly isComplete: boolean;
}

/** The receiving half of a Channel. A Receiver decodes a message only when it can emit the message. */
export class Receiver<T> implements FlowSource<T>, Reader {
  readonly multicast: Multicast<T>;
  private readonly host: ChannelHost;
  private readonly newDecoder: () => Decoder<T>;
  /** The part of the stream to read; undefined to read the stream to its end. */
  private readonly part: StreamPart | undefined;
  /** A subscriber that keeps none of the bytes that it receives. */
  private borrower: Subscriber<T> | undefined;
  /** The receiving side of the connection whose bytes `decoder` decodes. Each connection has a decoder of its own. */
  private inbound: Inbound | undefined;
  private decoder: Decoder<T>;
  /** How many values the decoder has returned at the end of the stream without taking bytes off the queue. */
  private lastValues = 0;

  constructor(host: ChannelHost, newDecoder: () => Decoder<T>, part?: StreamPart) {
    this.host = host;
    this.newDecoder = newDecoder;
    // The decoder is made here, so that the constructor throws immediately if the codec cannot make a decoder (A5).
    this.decoder = newDecoder();
    this.part = part;
    this.multicast = new Multicast(this);
  }

  get flowing(): boolean {
    return this.multicast.flowing;
  }

  private get lends(): boolean {
    return this.borrower !== undefined && this.multicast.isOnly(this.borrower);
  }

  /**
   * Adds a subscriber that keeps none of the bytes that it receives. While this subscriber is the only one, chunks are
   * not copied. Call `addBorrower` only for a channel without a codec.
   */
  addBorrower(subscriber: Subscriber<T>): TeardownLogic {
    this.borrower = subscriber;
    return this.multicast.add(subscriber);
  }

  drain(): void {
    this.multicast.drain();
  }

  end(end: 'fin' | SocketError): void {
    if (this.host.continues) return;
    const error = end === 'fin' ? undefined : end;
    // `readerEnding` is called before the subscribers are notified, because a notified subscriber may subscribe again.
    this.host.readerEnding(this);
    if (this.host.reusable) this.multicast.interrupt(error);
    else this.multicast.end(error);
  }

  take(): T | undefined {
    const inbound = this.host.inbound;
    if (inbound === undefined || !inbound.isReading(this)) return undefined;
    try {
      const decoder = this.decoderFor(inbound);
      let value = this.lends ? (borrowChunk(inbound.queue) as T | undefined) : decoder.decode(inbound.queue);
      if (value === undefined && this.part?.isComplete === true) {
        this.finish();
        return undefined;
      }
      if (value === undefined) value = this.takeLast(inbound, decoder);
      if (value === undefined) {
        if (inbound.end === 'open') inbound.regulate(true);
        else this.host.readerDrained(this, inbound.end);
      } else if (inbound.isPaused) inbound.regulate(false);
      return value;
    } catch (cause) {
      this.host.badFrame(decodeError(cause));
      return undefined;
    }
  }

  started(): void {
    this.host.observed(this);
  }

  stopped(): void {
    this.host.unobserved(this);
  }

  heldChanged(isHeld: boolean): void {
    // A Hold does not pause the socket at once. The socket pauses when the read-ahead is full, and `take` resumes the
    // socket.
    if (isHeld) this.host.inbound?.slacken();
    else this.host.ready();
  }

  ended(): void {
    this.host.readerEnded();
  }

  defer(work: () => void): void {
    const { inbound } = this.host;
    // Before the first bytes arrive, there is nothing to emit, so `work` is not needed.
    if (inbound === undefined || inbound.received > 0 || inbound.end !== 'open') this.host.defer(work);
  }

  private decoderFor(inbound: Inbound): Decoder<T> {
    if (inbound !== this.inbound) {
      // The first connection uses the decoder from the constructor.
      if (this.inbound !== undefined) this.decoder = this.newDecoder();
      this.inbound = inbound;
      this.lastValues = 0;
    }
    return this.decoder;
  }

  /** Ends the part, so that the next reader gets the bytes after it. */
  private finish(): void {
    this.host.unobserved(this);
    this.multicast.end();
  }

  /**
   * Calls the decoder's `end` when the stream has ended. Even if no bytes remain, the decoder may return a last value,
   * or throw because the stream has ended inside a message (D4).
   */
  private takeLast(inbound: Inbound, decoder: Decoder<T>): T | undefined {
    // If a shutdown has ended the stream inside a frame, that frame is dropped. But an unfinished body fails (S7).
    if (inbound.end !== 'fin' || (inbound.isStopped && this.part === undefined)) return undefined;
    const { queue } = inbound;
    // If the stream has ended without a close_notify, the remaining bytes may look like a complete frame although bytes
    // are missing. So the remaining bytes are not decoded (T11).
    if (inbound.hasAllowedCutOff && queue.length > 0) return undefined;
    const { position } = queue;
    const value = this.endOfDecoder(decoder, queue);
    if (value === undefined || queue.position > position) return value;
    if (++this.lastValues > mostLastValues) {
      throw new SocketError('ERR_FRAME_INVALID', "the decoder's `end` gives value after value and takes no bytes off");
    }
    return value;
  }

  private endOfDecoder(decoder: Decoder<T>, queue: ByteQueue): T | undefined {
    try {
      return decoder.end?.(queue);
    } catch (cause) {
      // A client that moves on to a new connection drops the unfinished frame of the old connection (K4).
      if (cause instanceof SocketError && cause.code === 'ERR_FRAME_TRUNCATED' && this.host.continues) return undefined;
      throw cause;
    }
  }
}

/**
 * How many values a decoder's `end` may return without taking bytes off the queue. The limit detects an `end` that
 * returns values forever.
 */
const mostLastValues = 1_000;

function decodeError(cause: unknown): SocketError {
  if (cause instanceof SocketError) return cause;
  return new SocketError('ERR_FRAME_INVALID', `the frame can't be decoded: ${describeError(cause)}`, { cause });
}
