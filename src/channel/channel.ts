import type { Observable, ObservableInput, Observer, Subscriber, Subscription, TeardownLogic } from 'rxjs';
import type { ByteQueue } from '../bytes/byte-queue.js';
import type { Codec, Decoder, Encoder } from '../codecs/codec.js';
import { bytes } from '../codecs/raw-bytes.js';
import { integer } from '../validation/checks.js';
import { SocketError } from '../errors/socket-error.js';
import { Flow, paced } from '../flow/flow.js';
import type { Hold } from '../flow/hold.js';
import { Multicast } from '../flow/multicast.js';
import { type Pace, type Refusal, closedError, type SendLane, handled } from '../io/outbound.js';
import { type ChannelHost, host, ofConnection, offer, track } from './channel-host.js';
import { Receiver } from './receiver.js';
import { SendFrom, SendFromSubscription, give, unframed } from './send-from.js';

/** So many values are ignored before a warning: a few are what a Subject ignores after its end, too. */
const ignoredBeforeWarning = 1_000;

/**
 * Sends and receives the messages of one connection: a Flow of what the peer sends, and an Observer that sends.
 *
 * It is the Subject of the socket: `subscribe` receives, `next` sends, `complete` is the FIN, `error` the reset. Bytes
 * are decoded when a value may be emitted and not before, and all that is sent in one turn of the event loop is written
 * together. Apart from that, and from the bounds below, it is equivalent to:
 *
 * ```ts
 * const channelOf = <In, Out>(socket: Socket, decode: (chunk: Buffer) => In[], encode: (value: Out) => Buffer) => ({
 *   subscribe: (observer: Observer<In>) => {
 *     socket.on('data', (chunk) => {
 *       for (const value of decode(chunk)) observer.next(value);
 *     });
 *     socket.on('end', () => observer.complete());
 *     socket.on('error', (error) => observer.error(error));
 *   },
 *   hold: () => socket.pause(), // released: socket.resume()
 *   next: (value: Out) => socket.writable && socket.write(encode(value)),
 *   complete: () => socket.end(),
 *   error: () => socket.destroy(),
 * });
 * ```
 *
 * @typeParam In - what is received
 * @typeParam Out - what is sent
 * @emits each message of the peer, in order (C1); completion after the peer's FIN (C7); a `SocketError` after all that
 * was received, if the connection fails (C8)
 * @throws none: what goes wrong is an error notification, or the rejection of a `send`
 * @backpressure receiving: held or without a subscriber, at most 65,536 bytes, the chunk in hand and one unfinished
 * frame wait here, the rest in the kernels and with the peer (F1, F3). Sending: at most `maxBuffered` and one value
 * wait here (C4), then `overflow` acts; `sendFrom` and `await send(…)` don't come to that
 * @teardown unsubscribing stops the reading and keeps what was not emitted (F1); it does not close the connection
 * @example
 * ```ts
 * connection.data.subscribe((line) => console.log(line)); // receive
 * connection.data.next('hello'); // send
 * connection.data.complete(); // FIN; receiving goes on
 * ```
 * @see rules C1 to C21
 */
export class Channel<In, Out = In> extends Flow<In> implements Observer<Out> {
  private readonly port: ChannelHost;
  private readonly codec: Codec<In, Out>;
  private readonly multicast: Multicast<In>;
  private encoder: Encoder<Out>;
  /** What the encoder is for: each connection has its own. */
  private lane: SendLane;
  private stream: number;
  /** How many values it has ignored because it is closed. */
  private ignored = 0;

  /** @internal */
  constructor(port: ChannelHost, codec: Codec<In, Out>) {
    super();
    this.port = port;
    this.codec = codec;
    this.encoder = codec.encoder();
    this.lane = port.lane;
    this.stream = port.lane.stream;
    this.multicast = new Receiver(port, codec).multicast;
  }

  /**
   * Tells whether more should be sent: false while more than `highWaterMark` bytes wait, true again at or under half of
   * it.
   *
   * @returns an Observable that never fails
   * @emits the current value at once, then each change; false and completion once nothing more can be sent (C21)
   * @backpressure none: it is what a sender of its own paces itself by
   * @teardown unsubscribing ends the watch, nothing else
   * @example
   * ```ts
   * connection.data.writable.subscribe((writable) => (writable ? sensor.start() : sensor.stop()));
   * ```
   * @see rules C5 and C21
   */
  get writable(): Observable<boolean> {
    return this.port.lane.watermark.changes;
  }

  /**
   * Counts the bytes that `next` has accepted and the kernel has not taken yet.
   *
   * @returns a number of bytes, 0 to `maxBuffered` and one encoded value (C4)
   * @backpressure it is the measure of it
   * @example
   * ```ts
   * connection.data.next('hello\n');
   * console.log(connection.data.bufferedBytes); // 6
   * ```
   * @see rule C4
   */
  get bufferedBytes(): number {
    return this.port.lane.outbound.bufferedBytes;
  }

  /**
   * Tells whether nothing more can be sent: after `complete()`, after `close()`, and after the connection has ended.
   *
   * @returns true once `next` would be ignored and `send` would reject (C9)
   * @example
   * ```ts
   * connection.data.complete();
   * console.log(connection.data.closed); // true
   * ```
   * @see rule C9
   */
  get closed(): boolean {
    return this.port.lane.closed;
  }

  /**
   * Counts the values that `overflow: 'drop'` has dropped.
   *
   * @returns a number of values, 0 and more; always 0 with `overflow: 'error'`
   * @backpressure what a peer that is too slow has missed
   * @example
   * ```ts
   * if (connection.data.dropped > 0) connection.data.next('some news was dropped');
   * ```
   * @see rule C4 and the option `overflow`
   */
  get dropped(): number {
    return this.port.lane.dropped;
  }

  /**
   * Sends a value. It never waits and never throws: a value given too early waits, one given too late is ignored.
   *
   * @param value - what the codec takes; bytes are kept by reference and must not be changed afterwards (C19)
   * @throws none; a value that can't be encoded fails the connection with `ERR_FRAME_INVALID` or `ERR_FRAME_TOO_LONG`
   * (D5)
   * @backpressure none: over `maxBuffered` the option `overflow` acts, which is `ERR_OVERFLOW` by default (C4)
   * @example
   * ```ts
   * connection.data.next('hello');
   * ```
   * @see rules C2, C3, C9 and D5
   */
  next(value: Out): void {
    const refusal = this.push(value);
    if (refusal !== undefined) this.refused(refusal);
  }

  /**
   * Ends the sending side: what was sent is flushed, then the peer gets the FIN. Receiving goes on until the peer ends
   * it.
   *
   * @backpressure what was sent waits for the peer as before
   * @teardown none; {@link Connection.close} ends the receiving side too
   * @example
   * ```ts
   * connection.data.next('bye');
   * connection.data.complete();
   * ```
   * @see rules C6, C7 and C9
   */
  complete(): void {
    this.port.complete();
  }

  /**
   * Destroys the connection: a reset where the transport has one, a plain end on unix sockets (C20).
   *
   * @param reason - the `cause` of the `ERR_CLOSED` that this side is told
   * @emits `ERR_CLOSED` to every subscriber of this connection, at once, even if it is held (C8, F10)
   * @backpressure none: what waits in either direction is dropped
   * @teardown everything of this connection ends
   * @example
   * ```ts
   * connection.data.error(new Error('the peer talks nonsense'));
   * ```
   * @see rules C8 and C20
   */
  error(reason: unknown): void {
    this.port.destroy(reason);
  }

  /**
   * Sends a value as `next` does, and settles when the caller may send more: a loop that awaits it goes at the peer's
   * pace.
   *
   * @param value - as for {@link Channel.next}
   * @returns a promise that resolves when the channel is writable: at once, if it is, and once it is connected, if the
   * client is connecting (K9)
   * @throws none; rejects with `ERR_CLOSED`, or the error that closed the channel, if the value was not and will not be
   * written (C5, C9), with `ERR_OVERFLOW` if it is over `maxBuffered`, and with `ERR_FRAME_INVALID` or
   * `ERR_FRAME_TOO_LONG`, after which the connection goes on (D5)
   * @backpressure none of its own: who doesn't wait for it fills the buffer up to `maxBuffered`, as with `next`
   * @example
   * ```ts
   * for (const line of report) await connection.data.send(line);
   * ```
   * @see rules C5, C9, D5 and K9
   */
  send(value: Out): Promise<void> {
    const refusal = this.push(value);
    const { lane } = this.port;
    if (refusal === undefined) return lane.whenWritable();
    const rejected = Promise.reject<void>(refusalError(refusal, lane));
    return refusal === 'closed' && lane.outbound.owner.reports ? handled(rejected) : rejected;
  }

  /**
   * Sends what a source gives, at the peer's pace: an iterable is pulled, a Flow is held, and the values of a plain
   * Observable are given to `next`. It doesn't end the sending side. For an iterable or a Flow it is equivalent to:
   *
   * ```ts
   * async function sendFrom<T>(channel: Channel<unknown, T>, source: AsyncIterable<T>): Promise<void> {
   *   for await (const value of source) await channel.send(value);
   *   while (channel.bufferedBytes > 0) await nextTurn(); // all is flushed
   * }
   * ```
   *
   * @param source - whatever RxJS's `from` takes; each subscription begins it anew
   * @returns a cold Observable: nothing is sent before it is subscribed to
   * @emits no value; completes once the source has completed and all that was sent is with the kernel
   * @throws none; fails with the source's error, and with `ERR_CLOSED`, or the error that closed the channel, if the
   * channel ends first (C5)
   * @backpressure an iterable and a Flow wait while the channel isn't writable: at most `highWaterMark` and one value
   * wait here. A plain Observable can't wait: up to `maxBuffered`, then `overflow` acts
   * @teardown stops the source and leaves the channel open
   * @example
   * ```ts
   * connection.data.sendFrom(readLines()).subscribe({
   *   complete: () => connection.data.complete(),
   *   error: (error: unknown) => connection.data.error(error),
   * });
   * ```
   * @see rules C5 and F7
   */
  sendFrom(source: ObservableInput<Out>): Observable<never> {
    return new SendFrom(this, this.port, source, false);
  }

  /**
   * Looks at the same connection through a codec, so that a protocol can change its framing in mid-stream. It begins at
   * the first byte that no other view has decoded (C13).
   *
   * @param codec - how the messages lie in the bytes from here on
   * @returns a channel over the same socket; of several that have subscribers the newest reads (C15)
   * @throws `ERR_OPTION_INVALID`, at once, if this channel has a codec itself
   * @backpressure a Hold counts for the view that it was taken on; what is sent on all views waits in one buffer
   * @teardown unsubscribing from the view lets the one before it go on
   * @example
   * ```ts
   * import { firstValueFrom } from 'rxjs';
   * import { fixedLength, lines } from 'rxjs-sockets/codecs';
   *
   * const size = Number(await firstValueFrom(connection.bytes.framed(lines())));
   * const body = await firstValueFrom(connection.bytes.framed(fixedLength(size)));
   * ```
   * @see rules C13 and C15
   */
  framed<I, O>(codec: Codec<I, O>): Channel<I, O> {
    if ((this.codec as Codec<unknown, never>) !== bytes) {
      throw new SocketError('ERR_OPTION_INVALID', 'framed: this channel has a codec; frame `connection.bytes` instead');
    }
    return new Channel(this.port, codec);
  }

  /**
   * Emits the next bytes of the connection, in chunks as they come, and completes after exactly `size` of them. Use it for
   * a body whose size a header has given: it is never held in memory as a whole.
   *
   * It is a view, as {@link Channel.framed} is: it begins at the first byte that no other view has decoded, and what
   * follows the body belongs to the next reader. Subscribing again after the first chunk goes on where that ended.
   *
   * @param size - how many bytes the body has, a whole number from 0
   * @returns a Flow over the same socket. It fails with `ERR_FRAME_TRUNCATED` if the stream ends before, which ends the
   * connection as a broken-off frame does
   * @throws `ERR_OPTION_INVALID`, at once, for a bad `size`, on a channel that has a codec, and on a client's `data`
   * @backpressure while it is held, or nobody is subscribed, the peer is told to wait
   * @example
   * ```ts
   * const size = Number(await firstValueFrom(connection.bytes.framed(lines())));
   * for await (const chunk of connection.bytes.body(size)) hash.update(chunk);
   * ```
   * @see rule C26
   */
  body(size: number): Flow<Buffer> {
    if (!this[unframed]) {
      throw new SocketError('ERR_OPTION_INVALID', 'body: this channel has a codec; use `connection.bytes` instead');
    }
    if (this.port.reusable) {
      throw new SocketError(
        'ERR_OPTION_INVALID',
        'body: use `bytes` of the connection, whose end is the end of the body',
      );
    }
    integer(0, Number.MAX_SAFE_INTEGER, 'a whole number of bytes')('body: size', size);
    return new Body(this.port, size);
  }

  /**
   * Holds what this channel receives; what it sends goes on.
   *
   * @returns the Hold (F2)
   * @backpressure at most 65,536 bytes, the chunk in hand and one unfinished frame wait here (F3), then the kernel's
   * buffers fill and the peer is told to wait
   * @teardown releasing the Hold (F11)
   * @example
   * ```ts
   * const hold = connection.data.hold();
   * await database.ready();
   * hold.release();
   * ```
   * @see rules F2, F3, F10 and C15
   */
  override hold(): Hold {
    return this.multicast.hold();
  }

  /** @internal */
  [paced](flow: Flow<Out>): Subscription {
    return new SendFromSubscription(this, this.port, flow, true);
  }

  /** @internal */
  get [host](): ChannelHost {
    return this.port;
  }

  protected override _subscribe(subscriber: Subscriber<In>): TeardownLogic {
    return this.multicast.add(subscriber);
  }

  /** @internal */
  get [unframed](): boolean {
    return (this.codec as Codec<unknown, never>) === bytes;
  }

  /** @internal */
  [give](value: Out): void {
    const refusal = this.push(value, 'paced');
    if (refusal !== undefined) this.refused(refusal);
  }

  /**
   * Sends a value, or gives why it can't be sent. Calls `sent` when the kernel has all of it, and `lost` when it will
   * not be written whole; what moves to the next connection (K4) is followed there.
   *
   * @internal
   */
  [track](value: Out, sent: () => void, lost: (error: SocketError) => void): SocketError | undefined {
    const refusal = this.push(value);
    const { lane } = this.port;
    if (refusal !== undefined) return refusalError(refusal, lane);
    lane.whenFlushed(sent, lost);
    return undefined;
  }

  /**
   * Sends a value at the pace of a Node stream, or gives why it can't be sent.
   *
   * @internal
   */
  [offer](value: Out, pace: Pace): SocketError | undefined {
    const refusal = this.push(value, pace);
    return refusal === undefined ? undefined : refusalError(refusal, this.port.lane);
  }

  /** @internal */
  [ofConnection](port: ChannelHost): Channel<In, Out> {
    return new Channel(port, this.codec);
  }

  private push(value: Out, pace: Pace = 'free'): Refusal | undefined {
    const { lane } = this.port;
    if (lane !== this.lane || lane.stream !== this.stream) {
      this.lane = lane;
      this.stream = lane.stream;
      this.encoder = this.codec.encoder();
    }
    return lane.push(this.encoder, value, pace);
  }

  private refused(refusal: Refusal): void {
    if (typeof refusal === 'object') this.port.fail(refusal);
    else if (refusal === 'closed' && ++this.ignored === ignoredBeforeWarning) warnOfIgnored();
  }
}

function warnOfIgnored(): void {
  process.emitWarning(`${ignoredBeforeWarning} values were given to a channel that is closed, and ignored`, {
    code: 'RXJS_SOCKETS_IGNORED',
    detail:
      'A source that outlives its connection goes on for nothing. ' +
      'Send it with channel.sendFrom(source), or source.pipe(sendTo(channel)): both stop it when the channel ends.',
  });
}

/** A Flow of the next `size` bytes of a connection. */
class Body extends Flow<Buffer> {
  private readonly multicast: Multicast<Buffer>;

  constructor(port: ChannelHost, size: number) {
    super();
    const decoder = new BodyDecoder(size);
    const codec = { decoder: () => decoder, encoder: () => bytes.encoder() };
    this.multicast = new Receiver(port, codec, () => decoder.left === 0).multicast;
    if (size === 0) this.multicast.end();
  }

  override hold(): Hold {
    return this.multicast.hold();
  }

  protected override _subscribe(subscriber: Subscriber<Buffer>): TeardownLogic {
    return this.multicast.add(subscriber);
  }
}

/** Gives chunks as they come, until there are enough. */
class BodyDecoder implements Decoder<Buffer> {
  left: number;
  private readonly size: number;

  constructor(size: number) {
    this.size = size;
    this.left = size;
  }

  decode(queue: ByteQueue): Buffer | undefined {
    const { head } = queue;
    if (this.left === 0 || head.length === 0) return undefined;
    const chunk = head.length > this.left ? head.subarray(0, this.left) : head;
    queue.skip(chunk.length);
    this.left -= chunk.length;
    return chunk;
  }

  end(): undefined {
    const message = `the stream has ended ${this.left} bytes before the end of a body of ${this.size} bytes`;
    throw new SocketError('ERR_FRAME_TRUNCATED', message);
  }
}

function refusalError(refusal: Refusal, lane: SendLane): SocketError {
  switch (refusal) {
    case 'closed':
      return closedError(lane);
    case 'overflow':
      return lane.outbound.overflowError();
    default:
      return refusal;
  }
}
