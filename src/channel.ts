import {
  Observable,
  type ObservableInput,
  type Observer,
  type Subscriber,
  type Subscription,
  type TeardownLogic,
} from 'rxjs';
import { bytes } from './bytes.js';
import type { Codec, Decoder, Encoder } from './codec.js';
import { SocketError } from './errors.js';
import { Flow, paced } from './flow.js';
import type { Hold } from './hold.js';
import type { Inbound, Reader } from './io/inbound.js';
import { closedError, type Outbound, type Refusal } from './io/outbound.js';
import { type FlowSource, Multicast } from './multicast.js';
import { Sending } from './sending.js';

/**
 * Closes the connection behind a Channel gracefully.
 */
export const lingering: unique symbol = Symbol('rxjs-sockets.lingering');

/**
 * What a Channel is a view of: a connection, or a client with its connections.
 */
export interface Port {
  /** Where the bytes come from, while there is a connection. */
  readonly inbound: Inbound | undefined;
  /** Where the bytes go. */
  readonly outbound: Outbound;
  /** The channel has its first subscriber. */
  observed(channel: Reader): void;
  /** The channel has lost its last subscriber. */
  unobserved(channel: Reader): void;
  /** All that was received has been emitted, and this is how the stream ended: to be concluded. */
  ended(channel: Reader, end: 'fin' | SocketError): void;
  /** The channel has told its subscribers that the stream has ended. */
  concluded(channel: Reader): void;
  /** Whether there may be another stream after this one. */
  readonly reusable: boolean;
  /** A value that can't be encoded, or bytes that can't be decoded, end the connection. */
  fail(error: SocketError): void;
  /** The user ends it. */
  destroy(reason: unknown): void;
  /** Closes gracefully. */
  close(): Promise<void>;
  /** Runs `work` once the running code has ended. */
  defer(work: () => void): void;
}

export class Channel<In, Out = In> extends Flow<In> implements Observer<Out> {
  private readonly port: Port;
  private readonly codec: Codec<In, Out>;
  private readonly multicast: Multicast<In>;
  private readonly encoder: Encoder<Out>;

  /** @internal */
  constructor(port: Port, codec: Codec<In, Out>) {
    super();
    this.port = port;
    this.codec = codec;
    this.encoder = codec.encoder();
    this.multicast = new View(port, codec).multicast;
  }

  get writable(): Observable<boolean> {
    return this.port.outbound.watermark.changes;
  }

  get bufferedBytes(): number {
    return this.port.outbound.bufferedBytes;
  }

  get closed(): boolean {
    return this.port.outbound.closed;
  }

  get dropped(): number {
    return this.port.outbound.dropped;
  }

  next(value: Out): void {
    const refusal = this.port.outbound.push(this.encoder, value);
    if (typeof refusal === 'object') this.port.fail(refusal);
  }

  complete(): void {
    this.port.outbound.complete();
  }

  error(reason: unknown): void {
    this.port.destroy(reason);
  }

  send(value: Out): Promise<void> {
    const { outbound } = this.port;
    const refusal = outbound.push(this.encoder, value);
    if (refusal === undefined) return outbound.whenWritable();
    return Promise.reject(refusalError(refusal, outbound));
  }

  sendFrom(source: ObservableInput<Out>): Observable<never> {
    return new Observable<never>((subscriber) => new Sending(this, () => this.port.outbound, source, subscriber));
  }

  framed<I, O>(codec: Codec<I, O>): Channel<I, O> {
    if ((this.codec as Codec<unknown, never>) !== bytes) {
      throw new SocketError('ERR_OPTION_INVALID', 'framed: this channel has a codec; frame `connection.bytes` instead');
    }
    return new Channel(this.port, codec);
  }

  override hold(): Hold {
    return this.multicast.hold();
  }

  /** @internal */
  [paced](flow: Flow<Out>): Subscription {
    // Where the channel itself was what ended, there is nobody to tell.
    return this.sendFrom(flow).subscribe({
      complete: () => {
        this.complete();
      },
      error: (reason: unknown) => {
        if (!this.closed) this.error(reason);
      },
    });
  }

  /** @internal */
  [lingering](): Promise<void> {
    return this.port.close();
  }

  protected override _subscribe(subscriber: Subscriber<In>): TeardownLogic {
    return this.multicast.add(subscriber);
  }
}

/** The receiving half of a Channel: it decodes when it may emit, and not before. */
class View<T> implements FlowSource<T>, Reader {
  readonly multicast: Multicast<T>;
  private readonly port: Port;
  private readonly codec: Codec<T, never>;
  private decoder: Decoder<T>;

  constructor(port: Port, codec: Codec<T, never>) {
    this.port = port;
    this.codec = codec;
    this.decoder = codec.decoder();
    this.multicast = new Multicast(this);
  }

  get flowing(): boolean {
    return this.multicast.flowing;
  }

  drain(): void {
    this.multicast.drain();
  }

  conclude(end: 'fin' | SocketError): void {
    const error = end === 'fin' ? undefined : end;
    if (this.port.reusable) this.multicast.interrupt(error);
    else this.multicast.end(error);
    this.port.concluded(this);
  }

  take(): T | undefined {
    const inbound = this.port.inbound;
    if (inbound === undefined || !inbound.isReading(this)) return undefined;
    try {
      const value = this.decoder.decode(inbound.queue) ?? this.takeLast(inbound);
      if (value === undefined) {
        if (inbound.end === 'open') inbound.regulate(true);
        else this.port.ended(this, inbound.end);
      } else if (inbound.isPaused) inbound.regulate(false);
      return value;
    } catch (cause) {
      this.corrupt(inbound, decodeError(cause));
      return undefined;
    }
  }

  renew(): void {
    this.decoder = this.codec.decoder();
  }

  started(): void {
    this.port.observed(this);
  }

  stopped(): void {
    this.port.unobserved(this);
  }

  toggled(): void {
    // Nothing to do: the reading stops when what waits is over its bound, and goes on when a frame is asked for.
  }

  defer(work: () => void): void {
    this.port.defer(work);
  }

  /** After the peer's FIN an unfinished frame may be whole as it stands (D4). */
  private takeLast(inbound: Inbound): T | undefined {
    if (inbound.end !== 'fin' || inbound.queue.length === 0) return undefined;
    return this.decoder.end?.(inbound.queue);
  }

  /** Nothing that follows can be understood. */
  private corrupt(inbound: Inbound, error: SocketError): void {
    this.port.fail(error);
    inbound.abort(error);
  }
}

function decodeError(cause: unknown): SocketError {
  if (cause instanceof SocketError) return cause;
  return new SocketError('ERR_FRAME_INVALID', `the frame can't be decoded: ${String(cause)}`, { cause });
}

function refusalError(refusal: Refusal, outbound: Outbound): SocketError {
  switch (refusal) {
    case 'closed':
      return closedError(outbound);
    case 'overflow':
      return new SocketError('ERR_OVERFLOW', 'the value was not sent: more than maxBuffered would wait');
    default:
      return refusal;
  }
}
