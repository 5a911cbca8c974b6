import type { Channel } from '../../channel/channel.js';
import { host, offer } from '../../channel/internal-access.js';
import { closedError, type SendLane } from '../../io/send-lane.js';
import type { WatermarkWatcher } from '../../io/watermark.js';

/** Called when the kernel has all bytes of a write, or with an error if it never will. */
export type WriteCallback = (error?: Error | null) => void;

/**
 * Sends the writes of a Node stream on a channel. While the channel is not writable, the next piece of a write waits.
 * When the kernel has all pieces, the write calls back (I3). As in every Writable, only one write is pending at a time.
 */
export class PacedWriter implements WatermarkWatcher {
  private readonly channel: Channel<any, any>;
  private readonly lane: SendLane;
  private pieces: readonly Uint8Array[] = [];
  /** The index of the next piece to send. */
  private next = 0;
  /** The callback of the pending write. */
  private callback: WriteCallback | undefined;
  /** The number of writes so far. It identifies a write, because Node uses the same callback for each. */
  private writeCount = 0;
  private isWatching = false;

  constructor(channel: Channel<any, any>) {
    this.channel = channel;
    this.lane = channel[host].lane;
  }

  /** Sends `pieces`. Must not be called while a write is pending. */
  write(pieces: readonly Uint8Array[], callback: WriteCallback): void {
    this.pieces = pieces;
    this.next = 0;
    this.callback = callback;
    this.writeCount++;
    this.proceed();
  }

  /** Sends the rest of the pending write and `more` at once, even if the channel is not writable. */
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
   * Fails the pending write a turn later, so that data that the peer has already sent, such as a refusal, is still
   * read.
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
