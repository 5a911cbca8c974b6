import type { Channel } from '../../channel/channel.js';
import { host, offer } from '../../channel/internal-access.js';
import { closedError, type SendLane } from '../../io/send-lane.js';
import type { WatermarkWatcher } from '../../io/write-watermark.js';

/** Called without an error when the kernel has all bytes of a write, or with an error when the write has failed. */
export type WriteCallback = (error?: Error | null) => void;

/**
 * Sends the writes of a Node stream on a channel, one write at a time. While the channel is not writable, the pieces of
 * a write wait. When the kernel has all pieces of a write, the callback of the write is called (I3).
 */
export class PacedWriter implements WatermarkWatcher {
  private readonly channel: Channel<any, any>;
  private readonly lane: SendLane;
  private pieces: readonly Uint8Array[] = [];
  private next = 0;
  private callback: WriteCallback | undefined;
  /**
   * Identifies the current write. The callback of a write cannot identify the write, because Node passes the same
   * callback for all writes.
   */
  private writeCount = 0;
  private isWatching = false;

  constructor(channel: Channel<any, any>) {
    this.channel = channel;
    this.lane = channel[host].lane;
  }

  write(pieces: readonly Uint8Array[], callback: WriteCallback): void {
    this.pieces = pieces;
    this.next = 0;
    this.callback = callback;
    this.writeCount++;
    this.proceed();
  }

  /** Immediately sends the unsent pieces of the pending write, and then `more`, even if the channel is not writable. */
  sendRest(more: readonly Uint8Array[]): void {
    const rest = [...this.pieces.slice(this.next), ...more];
    this.next = this.pieces.length;
    let refusal: Error | undefined;
    for (const piece of rest) refusal ??= this.channel[offer](piece, 'last');
    if (this.callback === undefined) return;
    if (refusal === undefined) this.awaitKernel();
    else this.fail(refusal);
  }

  changed(writable: boolean): void {
    if (writable && this.isWatching) this.proceed();
  }

  ended(): void {
    if (this.isWatching) this.fail(closedError(this.lane));
  }

  private proceed(): void {
    const { lane, pieces } = this;
    while (this.next < pieces.length && lane.watermark.writable) {
      const error = this.channel[offer](pieces[this.next++]!, 'paced');
      if (error === undefined) continue;
      this.fail(error);
      return;
    }
    if (this.next < pieces.length) this.watch();
    else this.awaitKernel();
  }

  private watch(): void {
    if (this.isWatching) return;
    if (this.lane.closed) {
      this.fail(closedError(this.lane));
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
    const { writeCount } = this;
    this.lane.whenFlushed(
      () => {
        if (this.isPending(writeCount)) this.finish();
      },
      (error) => {
        if (this.isPending(writeCount)) this.fail(error);
      },
    );
  }

  /**
   * Fails the pending write in a later turn, so that the program first receives what the peer has sent, such as an
   * error message.
   */
  private fail(error: Error): void {
    const { writeCount } = this;
    this.unwatch();
    setImmediate(() => {
      if (this.isPending(writeCount)) this.finish(error);
    });
  }

  private isPending(write: number): boolean {
    return this.callback !== undefined && this.writeCount === write;
  }

  private finish(error?: Error): void {
    const { callback } = this;
    this.unwatch();
    this.pieces = [];
    this.next = 0;
    this.callback = undefined;
    callback?.(error);
  }
}
