import type { UnderlyingSource, UnderlyingSink } from 'node:stream/web';
import { filter, firstValueFrom, type Observer, type Subscription } from 'rxjs';
import { Channel } from '../channel/channel.js';
import { host, type ChannelHost } from '../channel/channel-host.js';
import { SocketError } from '../errors/socket-error.js';
import { invalidOption } from '../validation/checks.js';
import type { ReacquirableHold } from '../flow/hold.js';
import { closedError, type SendLane } from '../io/send-lane.js';
import type { WebStreams } from './from-web-streams.js';

/**
 * Makes a readable and a writable web stream of a Channel, for `pipeThrough`, `pipeTo`, the body of a `Response`, and all else
 * that takes web streams. It subscribes to the Channel at once, so that a client dials, and holds it until something is read.
 *
 * Apart from failures it is equivalent to:
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
 * The streams end with the Channel: of a client without `reconnect`, with its connection.
 *
 * - `readable` gives each value when it is read, then closes after the peer's end, or errors with the `SocketError` after all
 *   that was received. The chunks of a Channel without a codec are the reader's to keep.
 * - `readable.cancel()` takes nothing from what is being written: what the peer still sends is read and dropped, and when the
 *   writable stream has been closed as well, the connection is closed gracefully (C11).
 * - `writer.write(value)` settles when the Channel may take more (C5). A value that can't be encoded errors the stream and fails
 *   the connection, as with `next` (D5). Where `overflow: 'drop'` drops it, the write settles all the same.
 * - `writer.close()` ends the sending side, and settles when everything was flushed (C6). Reading goes on.
 * - `writer.abort(reason)` destroys the connection with the reason, as `channel.error(reason)` does, which errors `readable`.
 * - When the connection fails, `writable` errors at once, with what ended it.
 *
 * As with all web streams, a promise of `write` that is left alone and rejects is an unhandled rejection.
 *
 * @typeParam In - what is received
 * @typeParam Out - what is sent
 * @param channel - the Channel, of a connection, a client or a view
 * @returns the two streams
 * @throws `ERR_OPTION_INVALID`, at once, for what is no Channel
 * @backpressure the Channel is held unless a read is waiting, so nothing waits in the readable stream. In the writable stream
 * waits what was written to it before the write under way has settled, as its `desiredSize` says
 * @teardown when both streams have been closed, cancelled or errored, the subscription has ended
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
  // The Channel reports it to its subscriber.
}

/** What the readable stream reads from: the Channel is held unless a read is waiting. */
class ChannelSource<In> implements UnderlyingSource<In>, Observer<In> {
  /** What the Channel has failed with. */
  failure: unknown;
  private readonly channel: Channel<In, any>;
  private readonly grip: ReacquirableHold;
  private controller: ReadableStreamDefaultController<In> | undefined;
  private subscription: Subscription | undefined;
  private state: 'open' | 'cancelled' | 'ended' = 'open';
  /** Whether everything that is to be sent was flushed. */
  private isSent = false;

  constructor(channel: Channel<In, any>) {
    this.channel = channel;
    this.grip = channel.hold() as ReacquirableHold;
  }

  start(controller: ReadableStreamDefaultController<In>): void {
    this.controller = controller;
    // A Channel that has ended tells so within the call.
    this.subscription = this.channel.subscribe(this);
  }

  pull(): void {
    this.grip.release();
  }

  cancel(): void {
    if (this.state !== 'open') return;
    this.state = 'cancelled';
    // A peer that nobody reads would in the end not read either.
    this.grip.release();
    this.closeIfUnwanted();
  }

  /** The sending side has ended in order, and everything was flushed: a graceful close has only so much time. */
  sent(): void {
    this.isSent = true;
    this.closeIfUnwanted();
  }

  next(value: In): void {
    if (this.state !== 'open') return;
    // Whoever is given the value may read again within the call.
    this.grip.take();
    this.controller?.enqueue(value);
  }

  error(reason: unknown): void {
    this.failure = reason;
    if (this.end()) this.controller?.error(reason);
  }

  complete(): void {
    if (this.end()) this.controller?.close();
  }

  /** Gives whether the stream is to be told. */
  private end(): boolean {
    const isOpen = this.state === 'open';
    this.state = 'ended';
    this.grip.release();
    return isOpen;
  }

  private closeIfUnwanted(): void {
    if (this.state !== 'cancelled' || !this.isSent) return;
    void this.channel[host].close();
    this.subscription?.unsubscribe();
  }
}

/** What the writable stream writes to. */
class ChannelSink<Out> implements UnderlyingSink<Out> {
  private readonly channel: Channel<any, Out>;
  private readonly port: ChannelHost;
  private readonly source: ChannelSource<any>;
  /** What it sends on: a client that has ended and begins anew has another one (K8). */
  private readonly lane: SendLane;
  private isClosing = false;

  constructor(channel: Channel<any, Out>, source: ChannelSource<any>) {
    this.channel = channel;
    this.port = channel[host];
    this.source = source;
    this.lane = this.port.lane;
  }

  start(controller: WritableStreamDefaultController): void {
    const { lane, source } = this;
    // Node's types leave it out.
    const { signal } = controller as WritableStreamDefaultController & { readonly signal: AbortSignal };
    // The stream calls `abort` only once the write under way has settled, which waits for a peer that may never read. Within
    // the event it is not erroring yet, and would take on the error of the connection in place of the reason.
    signal.addEventListener('abort', () => {
      queueMicrotask(() => this.abort(signal.reason));
    });
    lane.watermark.watch({
      changed: () => undefined,
      ended: () => {
        // After a wrong frame the sending side ends in order (D3).
        const failure = lane.error ?? (this.isClosing ? undefined : source.failure);
        if (failure !== undefined) controller.error(failure);
        else lane.whenFlushed(() => source.sent(), ignore);
      },
    });
  }

  async write(value: Out): Promise<void> {
    const { channel, lane, port } = this;
    // While a client is disconnected and drops what is sent, what is paced waits (K13).
    if (!lane.watermark.writable && !lane.closed) {
      await firstValueFrom(channel.writable.pipe(filter((writable) => writable)), { defaultValue: false });
    }
    if (this.hasEnded) throw closedError(lane);
    try {
      await channel.send(value);
    } catch (error) {
      if (lane.closed || !(error instanceof SocketError)) throw error;
      // What is dropped is counted, and the stream goes on; a gap that nobody has asked for may not be.
      if (error.code === 'ERR_OVERFLOW') return;
      port.fail(error);
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
    if (this.port.lane === this.lane) this.channel.error(reason);
  }

  private get hasEnded(): boolean {
    return this.lane.closed || this.port.lane !== this.lane;
  }
}
