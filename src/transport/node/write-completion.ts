/**
 * Notices when a socket's writes have finished. A WriteCompletion counts the writes, because the callback of a write
 * may run after the next write has begun.
 */
export class WriteCompletion {
  private readonly callback: (error?: Error | null) => void;
  private started = 0;
  private finished = 0;
  /** The position of the last write to wait for, counted from 1; 0 if no write is awaited. */
  private awaited = 0;

  /** @param onDrain - called when every write that began before the last call of `awaitDrain` has finished */
  constructor(onDrain: () => void) {
    this.callback = (error) => {
      this.finished++;
      if (error !== undefined && error !== null) return;
      if (this.awaited === 0 || this.finished < this.awaited) return;
      this.awaited = 0;
      onDrain();
    };
  }

  /** Counts a write, and returns its callback. */
  start(): (error?: Error | null) => void {
    this.started++;
    return this.callback;
  }

  awaitDrain(): void {
    this.awaited = this.started;
  }
}
