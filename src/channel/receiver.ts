import type { ByteQueue } from '../bytes/byte-queue.js';
import { isCopying } from '../bytes/shared-read-block.js';
import type { Codec, Decoder } from '../codecs/codec.js';
import { describeError } from '../errors/describe-value.js';
import { SocketError } from '../errors/socket-error.js';
import { type FlowSource, Multicast } from '../flow/multicast.js';
import type { Inbound, Reader } from '../io/inbound.js';
import type { ChannelHost } from './channel-host.js';

/** The receiving half of a Channel: it decodes when it may emit, and not before. */
export class Receiver<T> implements FlowSource<T>, Reader {
  readonly multicast: Multicast<T>;
  private readonly port: ChannelHost;
  private readonly codec: Codec<T, never>;
  /** Whether it ends before its stream does, as a body does once it is whole. */
  private readonly isComplete: (() => boolean) | undefined;
  private decoder: Decoder<T>;
  /** Whether the decoder keeps nothing of what it decodes. */
  private copies: boolean;
  /** What the decoder is for: each connection has its own. */
  private inbound: Inbound | undefined;
  /** How many values the decoder has given at the end without taking bytes off. */
  private lastValues = 0;

  constructor(port: ChannelHost, codec: Codec<T, never>, isComplete?: () => boolean) {
    this.port = port;
    this.codec = codec;
    this.isComplete = isComplete;
    this.decoder = codec.decoder();
    this.copies = isCopying(this.decoder);
    this.multicast = new Multicast(this);
  }

  get flowing(): boolean {
    return this.multicast.flowing;
  }

  get keeps(): boolean {
    return !this.copies && !this.multicast.relays;
  }

  drain(): void {
    this.multicast.drain();
  }

  end(end: 'fin' | SocketError): void {
    if (this.port.continues) return;
    const error = end === 'fin' ? undefined : end;
    // Whoever is told may subscribe again at once.
    this.port.readerEnding(this);
    if (this.port.reusable) this.multicast.interrupt(error);
    else this.multicast.end(error);
  }

  take(): T | undefined {
    const inbound = this.port.inbound;
    if (inbound === undefined || !inbound.isReading(this)) return undefined;
    if (inbound !== this.inbound) {
      this.inbound = inbound;
      this.lastValues = 0;
      this.decoder = this.codec.decoder();
      this.copies = isCopying(this.decoder);
    }
    try {
      inbound.secure(this);
      let value = this.decoder.decode(inbound.queue);
      // `null` is a value.
      if (value === undefined && this.isComplete?.() === true) {
        this.finish();
        return undefined;
      }
      if (value === undefined) value = this.takeLast(inbound);
      if (value === undefined) {
        if (inbound.end === 'open') inbound.regulate(true);
        else this.port.readerDrained(this, inbound.end);
      } else if (inbound.isPaused) inbound.regulate(false);
      return value;
    } catch (cause) {
      this.port.badFrame(decodeError(cause));
      return undefined;
    }
  }

  started(): void {
    this.port.observed(this);
  }

  stopped(): void {
    this.port.unobserved(this);
  }

  toggled(flowing: boolean): void {
    // The reading stops when what waits is over its bound, and goes on when a frame is asked for.
    if (flowing) this.port.ready();
    else this.port.inbound?.slacken();
  }

  told(): void {
    this.port.readerEnded();
  }

  defer(work: () => void): void {
    const { inbound } = this.port;
    // Where nothing was received yet, nothing waits.
    if (inbound === undefined || inbound.received > 0 || inbound.end !== 'open') this.port.defer(work);
  }

  /** What follows belongs to the next reader. */
  private finish(): void {
    this.port.unobserved(this);
    this.multicast.end();
  }

  /**
   * After the peer's FIN an unfinished frame may be whole as it stands, and the decoder may have a last value in itself, or
   * know that it is in the middle of a message, though no byte is left (D4).
   */
  private takeLast(inbound: Inbound): T | undefined {
    // A shutdown ends the stream where it is: what is left is no frame, but a body that lacks bytes is cut off (S7).
    if (inbound.end !== 'fin' || (inbound.isStopped && this.isComplete === undefined)) return undefined;
    const { queue } = inbound;
    // What a cut has broken off may look whole (T11).
    if (inbound.truncated && queue.length > 0) return undefined;
    const { position } = queue;
    const value = this.endOfDecoder(queue);
    if (value === undefined || queue.position > position) return value;
    if (++this.lastValues > mostLastValues) {
      throw new SocketError('ERR_FRAME_INVALID', "the decoder's `end` gives value after value and takes no bytes off");
    }
    return value;
  }

  private endOfDecoder(queue: ByteQueue): T | undefined {
    try {
      return this.decoder.end?.(queue);
    } catch (cause) {
      // A client that goes on drops what its old connection has not finished (K4).
      if (cause instanceof SocketError && cause.code === 'ERR_FRAME_TRUNCATED' && this.port.continues) return undefined;
      throw cause;
    }
  }
}

/** So many values a decoder may have in itself at the end of the stream: one whose `end` never stops is found out. */
const mostLastValues = 1_000;

function decodeError(cause: unknown): SocketError {
  if (cause instanceof SocketError) return cause;
  return new SocketError('ERR_FRAME_INVALID', `the frame can't be decoded: ${describeError(cause)}`, { cause });
}
