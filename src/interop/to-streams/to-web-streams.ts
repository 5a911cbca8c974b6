import type { UnderlyingSource, UnderlyingSink } from 'node:stream/web';
import { filter, firstValueFrom, type Observer, type Subscription } from 'rxjs';
import { Channel } from '../../channel/channel.js';
import type { ChannelHost } from '../../channel/channel-host.js';
import { host } from '../../channel/internal-access.js';
import { SocketError } from '../../errors/socket-error.js';
import { invalidOption } from '../../validation/checks.js';
import { pacingHold, type ReacquirableHold } from '../../flow/hold.js';
import { closedError, type SendLane } from '../../io/send-lane.js';
import type { WebStreams } from '../from-streams/from-web-streams.js';

/**
 * Makes a readable and a writable web stream from a Channel, for `pipeThrough`, `pipeTo`, the body of a `Response`, and
 * other users of web streams. If the Channel belongs to a client, the client dials immediately. The Channel is held
 * until `readable` is read.
 *
 * Apart from failures, `toWebStreams` is equivalent to:
 *
 * ```ts
 * function streamsOf<In, Out>(channel: Channel<In, Out>) {
 *   const values = channel[Symbol.asyncIterator]();
 *   const readable = new ReadableStream<In>(
 *     {
 *       async pull(controller) {
 *         const { done, value } = await values.next();
 *         if (done === true) controller.close();
 *         else controller.enqueue(value);
 *       },
 *     },
 *     { highWaterMark: 0 },
 *   );
 *   const writable = new WritableStream<Out>({
 *     write: (value) => channel.send(value),
 *     close: () => channel.complete(),
 *     abort: (reason) => channel.error(reason),
 *   });
 *   return { readable, writable };
 * }
 * ```
 *
 * Both streams end when the Channel ends. The Channel of a client without `reconnect` ends when the client's connection
 * ends.
 *
 * - `readable` closes when the peer has sent its FIN. If the connection fails, `readable` first delivers all received
 *   values, and then errors with the connection's `SocketError`. If the Channel has no codec, you may keep the chunks
 *   that you read from `readable`.
 * - After `readable.cancel()`, you can still send, and data from the peer is dropped. When `readable` has been
 *   cancelled and `writable` has closed, the connection closes gracefully (C11).
 * - `writer.write(value)` resolves when the Channel can accept more (C5), or if `overflow: 'drop'` drops the value. If
 *   a value cannot be encoded, `writable` errors, and the connection fails, as with `next` (D5).
 * - `writer.close()` ends the sending side, and resolves when everything has been flushed (C6). After `writer.close()`,
 *   you can still read from `readable`.
 * - `writer.abort(reason)` destroys the connection, as `channel.error(reason)` does, so `readable` errors.
 * - When the connection fails, `writable` immediately errors with the connection's error.
 *
 * Handle the promises that `write` returns, because an error that you do not handle becomes an unhandled rejection, as
 * with all web streams.
 *
 * @typeParam In - the type of received values
 * @typeParam Out - the type of sent values
 * @param channel - the Channel of a connection or a client, or a view of a connection
 * @returns the two streams
 * @throws `ERR_OPTION_INVALID` if the argument is not a Channel
 * @backpressure the Channel is held unless a read is pending, so `readable` buffers nothing. While a write is pending,
 * `writable` buffers further values, and the `desiredSize` of `writable` counts the buffered values
 * @teardown the subscription to the Channel ends when both streams have been closed, cancelled or errored
 * @example
 * ```ts
 * const { readable, writable } = toWebStreams(connection.bytes);
 * await readable.pipeThrough(new DecompressionStream('gzip')).pipeTo(writable);
 * ```
 * @see https://nodejs.org/api/webstreams.html, rule I1
 */
export function toWebStreams<In, Out>(channel: Channel<In, Out>): WebStreams<In, Out> {
  if (!(channel instanceof Channel)) {
    throw invalidOption('toWebStreams: channel', 'a Channel', channel);
  }
  const source = new ChannelSource(channel);
  const readable = new ReadableStream<In>(source, { highWaterMark: 0 });
  const sink = new ChannelSink(channel, source);
  return { readable, writable: new WritableStream<Out>(sink) };
}

function ignore(): void {
  // The Channel reports the error to its subscriber.
}

/** Holds the Channel unless a read is pending. */
class ChannelSource<In> implements UnderlyingSource<In>, Observer<In> {
  failure: unknown;
  private readonly channel: Channel<In, any>;
  private readonly hold: ReacquirableHold;
  private controller: ReadableStreamDefaultController<In> | undefined;
  private subscription: Subscription | undefined;
  private state: 'open' | 'cancelled' | 'ended' = 'open';
  private isFlushed = false;

  constructor(channel: Channel<In, any>) {
    this.channel = channel;
    this.hold = pacingHold(channel);
  }

  start(controller: ReadableStreamDefaultController<In>): void {
    this.controller = controller;
    // A Channel that has already ended calls `complete` or `error` during `subscribe`, so `controller` has to be set
    // first.
    this.subscription = this.channel.subscribe(this);
  }

  pull(): void {
    this.hold.release();
  }

  cancel(): void {
    if (this.state !== 'open') return;
    this.state = 'cancelled';
    // Continue to read, and drop the input. If this side stopped reading, the peer might also stop reading.
    this.hold.release();
    this.closeIfUnwanted();
  }

  /**
   * Call when the sending side has ended without an error, and everything has been flushed. If the connection were
   * closed earlier, values could be lost, because `closeTimeout` cuts off a slow close.
   */
  flushed(): void {
    this.isFlushed = true;
    this.closeIfUnwanted();
  }

  next(value: In): void {
    if (this.state !== 'open') return;
    // During the call of `enqueue`, a reader may read again, and that read releases the hold. So acquire the hold
    // before `enqueue`.
    this.hold.acquire();
    this.controller?.enqueue(value);
  }

  error(reason: unknown): void {
    this.failure = reason;
    if (this.end()) this.controller?.error(reason);
  }

  complete(): void {
    if (this.end()) this.controller?.close();
  }

  /** Returns whether `readable` still has to be notified of the end. */
  private end(): boolean {
    const isOpen = this.state === 'open';
    this.state = 'ended';
    this.hold.release();
    return isOpen;
  }

  private closeIfUnwanted(): void {
    if (this.state !== 'cancelled' || !this.isFlushed) return;
    void this.channel[host].close();
    this.subscription?.unsubscribe();
  }
}

class ChannelSink<Out> implements UnderlyingSink<Out> {
  private readonly channel: Channel<any, Out>;
  private readonly host: ChannelHost;
  private readonly source: ChannelSource<any>;
  /**
   * The lane (the sending side) of the Channel when `writable` was made. A client that starts again after its end has a
   * new lane (K8).
   */
  private readonly lane: SendLane;
  private isClosing = false;

  constructor(channel: Channel<any, Out>, source: ChannelSource<any>) {
    this.channel = channel;
    this.host = channel[host];
    this.source = source;
    this.lane = this.host.lane;
  }

  start(controller: WritableStreamDefaultController): void {
    const { lane, source } = this;
    // Node's types do not declare the member `signal` of the controller.
    const { signal } = controller as WritableStreamDefaultController & { readonly signal: AbortSignal };
    // The stream calls `abort` only when the current write has settled. If the peer does not read, the write never
    // settles, so use the event of the signal instead. Abort in a microtask: if `abort` were called during the event,
    // `writable` would error with the connection's error instead of the reason.
    signal.addEventListener('abort', () => {
      queueMicrotask(() => this.abort(signal.reason));
    });
    lane.watermark.watch({
      changed: () => undefined,
      ended: () => {
        // After a frame that cannot be decoded, the sending side ends without an error (D3). In that case, the error of
        // `source` is the failure.
        const failure = lane.error ?? (this.isClosing ? undefined : source.failure);
        if (failure !== undefined) controller.error(failure);
        else lane.whenFlushed(() => source.flushed(), ignore);
      },
    });
  }

  async write(value: Out): Promise<void> {
    const { channel, lane } = this;
    // Values written to this stream are paced, so a disconnected client must not drop them (K13). But the client may
    // drop a value that is passed to `send`. So wait until the Channel is writable, and then call `send`.
    if (!lane.watermark.writable && !lane.closed) {
      await firstValueFrom(channel.writable.pipe(filter((writable) => writable)), { defaultValue: false });
    }
    if (this.hasEnded) throw closedError(lane);
    try {
      await channel.send(value);
    } catch (error) {
      if (lane.closed || !(error instanceof SocketError)) throw error;
      // `ERR_OVERFLOW` means that `overflow: 'drop'` has dropped the value: the stream continues. Any other error fails
      // the connection.
      if (error.code === 'ERR_OVERFLOW') return;
      this.host.fail(error);
      throw error;
    }
  }

  close(): Promise<void> {
    const { lane } = this;
    this.isClosing = true;
    if (lane.error !== undefined) return Promise.reject(lane.error);
    if (!this.hasEnded) this.channel.complete();
    return new Promise((resolve, reject) => {
      lane.whenFlushed(resolve, reject);
    });
  }

  abort(reason: unknown): void {
    if (this.host.lane === this.lane) this.channel.error(reason);
  }

  private get hasEnded(): boolean {
    return this.lane.closed || this.host.lane !== this.lane;
  }
}
