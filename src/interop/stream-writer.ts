import type { Channel } from '../channel/channel.js';
import { host, offer } from '../channel/channel-host.js';
import { closedError, type SendLane } from '../io/send-lane.js';
import type { Watcher } from '../io/watermark.js';

/** Called once the kernel has all of it, or with why it never will. */
export type Written = (error?: Error | null) => void;

/**
 * Sends what a Node stream was given on a channel, piece by piece: while the channel is not writable the next piece waits,
 * and when the kernel has the last one the stream is told (I3). One write is under way at a time, as with any Writable.
 */
export class StreamWriter implements Watcher {
  private readonly channel: Channel<any, any>;
  private readonly lane: SendLane;
  private pieces: readonly Uint8Array[] = [];
  private next = 0;
  private written: Written | undefined;
  /** How many writes there were: Node calls back with the same function for each. */
  private count = 0;
  private isWatching = false;

  constructor(channel: Channel<any, any>) {
    this.channel = channel;
    this.lane = channel[host].lane;
  }

  /** Whether a write is under way. */
  get isBusy(): boolean {
    return this.written !== undefined;
  }

  /** Whether the channel is not writable, so that pieces wait here. */
  get isBehind(): boolean {
    return this.next < this.pieces.length;
  }

  /** Sends `pieces`. Not called while a write is under way. */
  write(pieces: readonly Uint8Array[], written: Written): void {
    this.pieces = pieces;
    this.next = 0;
    this.written = written;
    this.count++;
    this.proceed();
  }

  /** Gives the channel all that waits here, whether it is writable or not, and `more`. */
  handOver(more: readonly Uint8Array[]): void {
    const rest = [...this.pieces.slice(this.next), ...more];
    this.next = this.pieces.length;
    let refusal: Error | undefined;
    for (const piece of rest) refusal ??= this.channel[offer](piece, 'last');
    if (!this.isBusy) return;
    if (refusal === undefined) this.awaitKernel();
    else this.lost(refusal);
  }

  /** Nothing more is written: the write under way has failed. */
  fail(error: Error): void {
    this.release()?.(error);
  }

  changed(writable: boolean): void {
    if (writable && this.isWatching) this.proceed();
  }

  ended(): void {
    if (this.isWatching) this.lost(closedError(this.lane));
  }

  private proceed(): void {
    const { lane, pieces } = this;
    while (this.next < pieces.length && lane.watermark.writable) {
      const error = this.channel[offer](pieces[this.next++]!, 'paced');
      if (error === undefined) continue;
      this.lost(error);
      return;
    }
    if (this.isBehind) this.watch();
    else this.awaitKernel();
  }

  private watch(): void {
    if (this.isWatching) return;
    if (this.lane.closed) {
      this.lost(closedError(this.lane));
      return;
    }
    this.lane.beginPaced();
    this.isWatching = true;
    this.lane.watermark.watch(this);
  }

  private unwatch(): void {
    if (!this.isWatching) return;
    this.isWatching = false;
    this.lane.finishPaced();
    this.lane.watermark.unwatch(this);
  }

  private awaitKernel(): void {
    this.unwatch();
    const { count } = this;
    this.lane.whenFlushed(
      () => {
        if (this.isAt(count)) this.release()?.();
      },
      (error) => {
        if (this.isAt(count)) this.lost(error);
      },
    );
  }

  /** What the peer sent before it failed, a refusal for instance, is still given to those who read. */
  private lost(error: Error): void {
    const { count } = this;
    this.unwatch();
    setImmediate(() => {
      if (this.isAt(count)) this.fail(error);
    });
  }

  private isAt(count: number): boolean {
    return this.isBusy && this.count === count;
  }

  private release(): Written | undefined {
    const { written } = this;
    this.unwatch();
    this.pieces = [];
    this.next = 0;
    this.written = undefined;
    return written;
  }
}
