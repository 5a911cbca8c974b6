/**
 * Notices when a socket's writes have finished. It counts them, because the callback of a write may run after the next
 * write has begun.
 */
export class WriteCompletion {
  private readonly callback: (error?: Error | null) => void;
  private started = 0;
  private finished = 0;
  /** The number of the last write to wait for; 0 for none. */
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
