import {
  Observable,
  type ObservableInput,
  type Observer,
  type Subscriber,
  type Subscription,
  type TeardownLogic,
} from 'rxjs';
import type { Codec, Encoder } from '../codecs/codec.js';
import { bytes } from '../codecs/raw-bytes.js';
import { integer } from '../validation/checks.js';
import { handled } from '../errors/error-origin.js';
import { SocketError } from '../errors/socket-error.js';
import { Flow, paced } from '../flow/flow.js';
import type { Hold } from '../flow/hold.js';
import type { Pace, Refusal } from '../io/outbound.js';
import { closedError, type SendLane } from '../io/send-lane.js';
import { Body } from './body.js';
import type { ChannelHost } from './channel-host.js';
import { borrowed, host, nextPaced, ofConnection, offer, track, unframed } from './internal-access.js';
import { Receiver } from './receiver.js';
import { SendFrom, SendFromSubscription } from './send-from.js';

/** How many values a closed channel ignores before it warns. A few ignored values are normal. */
const ignoredBeforeWarning = 1_000;

/**
 * Sends and receives the messages of one connection: a Flow of the received messages, and an Observer that sends.
 *
 * A Channel works like a Subject for a socket: `subscribe` receives, `next` sends, `complete` sends the FIN, and
 * `error` resets the connection. The Channel emits the peer's messages in order, and completes after the peer's FIN. If
 * the connection fails, the Channel first emits everything received before the failure, and then fails with a
 * `SocketError`.
 *
 * A Channel limits its buffers, and decodes a message only when it can emit the message. Everything that you send in
 * one turn of the event loop is written together. Apart from these points, a Channel is equivalent to:
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
 * @typeParam In - the type of the received messages
 * @typeParam Out - the type of the sent messages
 * @backpressure Receiving: while the channel is held or has no subscriber, it buffers at most 65,536 bytes, the current
 * chunk and one unfinished frame. When this buffer is full, the peer has to wait. Sending: the channel buffers at most
 * `maxBuffered` bytes and one value. To a value beyond this limit, the option `overflow` applies. A loop that awaits
 * each `send`, and `sendFrom` with an iterable or a Flow, stay within this limit
 * @teardown when the last subscriber unsubscribes, the channel stops reading. The remaining messages go to the next
 * subscriber, and the connection stays open
 * @example
 * ```ts
 * connection.data.subscribe((line) => console.log(line)); // receive
 * connection.data.next('hello'); // send
 * connection.data.complete(); // FIN; receiving goes on
 * ```
 * @see rules C1 to C28
 */
export class Channel<In, Out = In> extends Flow<In> implements Observer<Out> {
  private readonly host: ChannelHost;
  private readonly codec: Codec<In, Out>;
  private readonly receiver: Receiver<In>;
  private encoder: Encoder<Out>;
  /** The lane for which `encoder` encodes. */
  private lane: SendLane;
  /** How many times `lane` had moved to a new connection when `encoder` was made. */
  private connection: number;
  private ignored = 0;

  /** @internal */
  constructor(channelHost: ChannelHost, codec: Codec<In, Out>) {
    super();
    this.host = channelHost;
    this.codec = codec;
    this.encoder = codec.encoder();
    this.lane = channelHost.lane;
    this.connection = this.lane.connection;
    this.receiver = new Receiver(channelHost, () => codec.decoder());
  }

  /**
   * Emits whether more should be sent: false when more than `highWaterMark` bytes are buffered, and true again when the
   * buffer has drained to half of `highWaterMark`. Use `writable` to pace a source that you drive yourself.
   *
   * @returns an Observable of the current value, followed by each change. When nothing more can be sent, the Observable
   * emits false and completes. The Observable never fails
   * @example
   * ```ts
   * connection.data.writable.subscribe((writable) => (writable ? sensor.start() : sensor.stop()));
   * ```
   * @see rules C5 and C21
   */
  get writable(): Observable<boolean> {
    return this.host.lane.watermark.changes;
  }

  /**
   * Counts the sent bytes that the kernel has not taken yet.
   *
   * @returns a number of bytes: at most `maxBuffered` plus one encoded value
   * @example
   * ```ts
   * connection.data.next('hello\n');
   * console.log(connection.data.bufferedBytes); // 6
   * ```
   * @see rule C4
   */
  get bufferedBytes(): number {
    return this.host.outbound.bufferedBytes;
  }

  /**
   * Whether nothing more can be sent: after `complete()`, after `close()`, and after the connection has ended.
   *
   * @returns true from the moment at which `next` ignores values and `send` rejects
   * @example
   * ```ts
   * connection.data.complete();
   * console.log(connection.data.closed); // true
   * ```
   * @see rule C9
   */
  get closed(): boolean {
    return this.host.lane.closed;
  }

  /**
   * Counts the values that were dropped because of `overflow: 'drop'` or `whileDisconnected: 'drop'`.
   *
   * @returns the number of dropped values
   * @example
   * ```ts
   * if (connection.data.dropped > 0) connection.data.next('some news was dropped');
   * ```
   * @see rule C4
   */
  get dropped(): number {
    return this.host.lane.dropped;
  }

  /**
   * Sends a value. `next` never waits and never throws. A value sent before the connection is open is buffered, and a
   * value sent after the end is ignored.
   *
   * A value that can't be encoded fails the connection with `ERR_FRAME_INVALID` or `ERR_FRAME_TOO_LONG`. For such a
   * value, {@link Channel.send} only rejects.
   *
   * @param value - a value for the codec. Bytes are not copied, so do not change them after the call
   * @backpressure if the buffer would exceed `maxBuffered` bytes, the option `overflow` applies: by default, the
   * connection fails with `ERR_OVERFLOW`
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
   * Ends the sending side. Everything sent so far is flushed, and then the FIN is sent. Receiving continues until the
   * peer's FIN. To end both sides, use {@link Connection.close}.
   *
   * @example
   * ```ts
   * connection.data.next('bye');
   * connection.data.complete();
   * ```
   * @see rule C6
   */
  complete(): void {
    this.host.complete();
  }

  /**
   * Destroys the connection, with a reset if the transport supports resets. A unix socket is closed in the ordinary
   * way. Everything buffered in either direction is dropped. Every subscriber of the connection immediately gets
   * `ERR_CLOSED`, even if its channel is held.
   *
   * @param reason - the `cause` of the `ERR_CLOSED` that the subscribers get
   * @example
   * ```ts
   * connection.data.error(new Error('the peer talks nonsense'));
   * ```
   * @see rule C20
   */
  error(reason: unknown): void {
    this.host.destroy(reason);
  }

  /**
   * Sends a value as `next` does, and resolves when the channel is writable. A loop that awaits each call sends at the
   * peer's pace.
   *
   * @param value - as for {@link Channel.next}
   * @returns a promise that resolves as soon as the channel is writable. While a client connects, the promise waits for
   * the connection. The promise rejects with `ERR_CLOSED`, or with the error that closed the channel, if the value will
   * not be written. The promise rejects with `ERR_OVERFLOW` if the buffer would exceed `maxBuffered`, or if
   * `whileDisconnected: 'drop'` drops the value. The promise rejects with `ERR_FRAME_INVALID` or `ERR_FRAME_TOO_LONG`
   * if the value can't be encoded. An encoding error does not affect the connection
   * @backpressure a caller that does not await the promise fills the buffer, as with `next`
   * @example
   * ```ts
   * for (const line of report) await connection.data.send(line);
   * ```
   * @see rule C5
   */
  send(value: Out): Promise<void> {
    const refusal = this.push(value);
    const { lane } = this.host;
    if (refusal === undefined) return lane.whenWritable();
    const rejected = Promise.reject<void>(refusalError(refusal, this.host));
    return typeof refusal === 'string' && lane.owner.hasIncidents ? handled(rejected) : rejected;
  }

  /**
   * Sends the values of a source at the peer's pace. An iterable is pulled as needed, and a Flow is held when
   * necessary. A plain Observable can't wait, so its values are passed to `next`. When the source ends, the channel
   * stays open. For an iterable or a Flow, the call is equivalent to:
   *
   * ```ts
   * async function sendFrom<T>(channel: Channel<unknown, T>, source: AsyncIterable<T>): Promise<void> {
   *   for await (const value of source) await channel.send(value);
   *   while (channel.bufferedBytes > 0) await nextTurn(); // all is flushed
   * }
   * ```
   *
   * @param source - anything that RxJS's `from` accepts; each subscription starts the source anew
   * @returns a cold Observable without values, which sends nothing until it is subscribed to. The Observable completes
   * when the source has completed and the kernel has taken everything. If the source fails, the Observable fails with
   * the source's error. If the channel ends first, the Observable fails with `ERR_CLOSED` or the error that closed the
   * channel
   * @backpressure an iterable or a Flow waits while the channel isn't writable, so at most `highWaterMark` bytes and
   * one value are buffered. A plain Observable can fill the buffer up to `maxBuffered` bytes; then the option
   * `overflow` applies
   * @teardown unsubscribing stops the source and leaves the channel open
   * @example
   * ```ts
   * connection.data.sendFrom(readLines()).subscribe({
   *   complete: () => connection.data.complete(),
   *   error: (error: unknown) => connection.data.error(error),
   * });
   * ```
   * @see rule C5
   */
  sendFrom(source: ObservableInput<Out>): Observable<never> {
    return new SendFrom(this, this.host, source, false);
  }

  /**
   * Makes a view of this channel's connection through a codec. Use `framed` to change the framing in mid-stream. The
   * view begins at the first byte that no other view has decoded.
   *
   * @param codec - the framing of the view's messages
   * @returns a channel over the same socket. If several views have subscribers, only the newest of these views reads
   * @throws `ERR_OPTION_INVALID`, synchronously, if this channel already has a codec
   * @backpressure calling `hold` on a view holds only that view. All views send through one buffer
   * @teardown when the last subscriber leaves the view, the previous view resumes reading
   * @example
   * ```ts
   * import { firstValueFrom } from 'rxjs';
   * import { fixedLength, lines } from 'rxjs-sockets/codecs';
   *
   * const size = Number(await firstValueFrom(connection.bytes.framed(lines())));
   * const body = await firstValueFrom(connection.bytes.framed(fixedLength(size)));
   * ```
   * @see rule C13
   */
  framed<I, O>(codec: Codec<I, O>): Channel<I, O> {
    if ((this.codec as Codec<unknown, never>) !== bytes) {
      throw new SocketError('ERR_OPTION_INVALID', 'framed: this channel has a codec; frame `connection.bytes` instead');
    }
    return new Channel(this.host, codec);
  }

  /**
   * Emits the next bytes of the connection, in chunks as they arrive, and completes after exactly `size` bytes. Use
   * `body` for data whose size was announced in a header. The body is never collected in memory.
   *
   * The body begins at the first byte that no other view has decoded. The bytes after the body belong to the next
   * reader. A later subscriber continues where the previous subscriber stopped.
   *
   * @param size - the number of bytes: an integer, at least 0
   * @returns a Flow over the same socket. If the stream ends early, the Flow and the connection fail with
   * `ERR_FRAME_TRUNCATED`
   * @throws `ERR_OPTION_INVALID`, synchronously, for a bad `size`, on a channel that has a codec, and on a client's
   * `data`
   * @backpressure while the body is held or has no subscriber, the peer has to wait
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
    if (this.host.reusable) {
      throw new SocketError(
        'ERR_OPTION_INVALID',
        'body: use `bytes` of the connection, whose end is the end of the body',
      );
    }
    integer(0, Number.MAX_SAFE_INTEGER, 'a whole number of bytes')('body: size', size);
    return new Body(this.host, size);
  }

  /**
   * Pauses receiving until the Hold is released. Sending continues.
   *
   * @returns the Hold
   * @backpressure at most 65,536 bytes, the current chunk and one unfinished frame are buffered. When that much is
   * buffered, the kernel's buffers fill, and the peer has to wait
   * @example
   * ```ts
   * const hold = connection.data.hold();
   * await database.ready();
   * hold.release();
   * ```
   * @see rule F3
   */
  override hold(): Hold {
    return this.receiver.multicast.hold();
  }

  /** @internal */
  [paced](flow: Flow<Out>): Subscription {
    return new SendFromSubscription(this, this.host, flow, true);
  }

  /** @internal */
  get [host](): ChannelHost {
    return this.host;
  }

  protected override _subscribe(subscriber: Subscriber<In>): TeardownLogic {
    return this.receiver.multicast.add(subscriber);
  }

  /** @internal */
  get [unframed](): boolean {
    return (this.codec as Codec<unknown, never>) === bytes;
  }

  /** @internal */
  get [borrowed](): Observable<In> | undefined {
    if (!this[unframed]) return undefined;
    return new Observable((subscriber) => this.receiver.addBorrower(subscriber));
  }

  /** @internal */
  [nextPaced](value: Out): void {
    const refusal = this.push(value, 'paced');
    if (refusal !== undefined) this.refused(refusal);
  }

  /**
   * Sends a value. If the value can't be sent, returns the error. Calls `sent` when the kernel has taken the whole
   * value, or `lost` when the value has been lost. A value that moves to the next connection is still tracked (K4).
   *
   * @internal
   */
  [track](value: Out, sent: () => void, lost: (error: SocketError) => void): SocketError | undefined {
    const refusal = this.push(value);
    if (refusal !== undefined) return refusalError(refusal, this.host);
    this.host.lane.whenFlushed(sent, lost);
    return undefined;
  }

  /**
   * Sends a value as `pace` says. If the value is refused, returns the error.
   *
   * @internal
   */
  [offer](value: Out, pace: Pace): SocketError | undefined {
    const refusal = this.push(value, pace);
    return refusal === undefined ? undefined : refusalError(refusal, this.host);
  }

  /** @internal */
  [ofConnection](connection: ChannelHost): Channel<In, Out> {
    return new Channel(connection, this.codec);
  }

  private push(value: Out, pace: Pace = 'free'): Refusal | undefined {
    const { lane, outbound } = this.host;
    if (lane !== this.lane || lane.connection !== this.connection) {
      this.lane = lane;
      this.connection = lane.connection;
      this.encoder = this.codec.encoder();
    }
    return outbound.push(lane, this.encoder, value, pace);
  }

  private refused(refusal: Refusal): void {
    if (typeof refusal === 'object') this.host.fail(refusal);
    else if (refusal === 'closed' && ++this.ignored === ignoredBeforeWarning) warnOfIgnored();
  }
}

function warnOfIgnored(): void {
  process.emitWarning(`${ignoredBeforeWarning} values were given to a channel that is closed, and ignored`, {
    code: 'RXJS_SOCKETS_IGNORED',
    detail:
      'A source that outlives its connection keeps producing values that go nowhere. ' +
      'Send it with channel.sendFrom(source), or source.pipe(sendTo(channel)): both stop it when the channel ends.',
  });
}

function refusalError(refusal: Refusal, { lane, outbound }: ChannelHost): SocketError {
  switch (refusal) {
    case 'closed':
      return closedError(lane);
    case 'overflow':
      return outbound.overflowError();
    default:
      return refusal;
  }
}
