/** Has something to write at the end of a turn. */
export interface Flushable {
  flush(): void;
}

/**
 * Has each connection write once in a turn of the event loop, however many messages it sends (C3): at the end of the
 * delivery of a chunk, or when the running code has ended. All sockets of a transport share one.
 *
 * @example
 * ```ts
 * const scheduler = new FlushScheduler(queueMicrotask);
 * ```
 */
export class FlushScheduler {
  private readonly later: (work: () => void) => void;
  private readonly idle: (work: () => void) => void;
  private publishers: Flushable[] = [];
  private senders: Flushable[] = [];
  private deliveries = 0;
  private flushing = false;
  private scheduled = false;
  /** Whether the process exits, so that deferred work does not run any more. */
  private isExiting = false;
  private readonly onTime = (): void => {
    this.scheduled = false;
    this.flush();
  };

  /**
   * Makes a scheduler for a transport.
   *
   * @param later - runs a function once the running code has ended, never within the call
   * @param idle - runs a function once the event loop has handled its other events, too; default `later`
   */
  constructor(later: (work: () => void) => void, idle: (work: () => void) => void = later) {
    this.later = later;
    this.idle = idle;
  }

  /**
   * Notes that a delivery begins.
   *
   * @internal
   */
  enter(): void {
    this.deliveries++;
  }

  /**
   * Notes that a delivery ends. After the outermost one everything is written.
   *
   * @internal
   */
  leave(): void {
    if (--this.deliveries === 0) this.flush();
  }

  /**
   * Whether a chunk is being delivered.
   *
   * @internal
   */
  get isDelivering(): boolean {
    return this.deliveries > 0;
  }

  /**
   * Flushes `sender` at the end of this turn. A sender adds itself once until then.
   *
   * @internal
   */
  add(sender: Flushable): void {
    this.senders.push(sender);
    this.schedule();
  }

  /**
   * Flushes `publisher` before the senders, because its flush adds senders.
   *
   * @internal
   */
  addPublisher(publisher: Flushable): void {
    this.publishers.push(publisher);
    this.schedule();
  }

  /**
   * Runs `work` once the running code has ended.
   *
   * @internal
   */
  defer(work: () => void): void {
    this.later(work);
  }

  /** What is sent because a flush has made room waits, or a fast peer would keep all others from being read. */
  private schedule(): void {
    if (this.isExiting) this.flush();
    if (this.isExiting || this.deliveries > 0 || this.scheduled || this.flushing) return;
    this.scheduled = true;
    this.later(this.onTime);
  }

  /**
   * Runs `work` once the event loop has handled its other events: for work that would otherwise keep it from them.
   *
   * @internal
   */
  rest(work: () => void): void {
    this.idle(work);
  }

  /**
   * Flushes everything now, also within a delivery, and from now on whatever is sent: the process is about to exit (C24).
   *
   * @internal
   */
  flushNow(): void {
    this.isExiting = true;
    this.flush();
  }

  private flush(): void {
    if (this.flushing) return;
    this.flushing = true;
    try {
      while (this.publishers.length > 0) this.publishers.shift()?.flush();
      const { senders } = this;
      if (senders.length === 0) return;
      this.senders = [];
      for (const sender of senders) sender.flush();
    } finally {
      this.flushing = false;
      if (this.senders.length + this.publishers.length > 0 && !this.scheduled && this.deliveries === 0) {
        this.scheduled = true;
        this.idle(this.onTime);
      }
    }
  }
}
