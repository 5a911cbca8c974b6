/** What has something to write at the end of a turn. */
export interface Flushable {
  flush(): void;
}

/**
 * Collects what is sent in one turn of the event loop, so that each connection writes once (C3): at the end of the
 * delivery of a chunk where one is under way, otherwise when the running code has ended. A transport makes one for all
 * its sockets.
 *
 * @example
 * ```ts
 * const scheduler = new FlushScheduler(queueMicrotask);
 * ```
 * @see rule C3
 */
export class FlushScheduler {
  private readonly later: (work: () => void) => void;
  private readonly idle: (work: () => void) => void;
  private publishers: Flushable[] = [];
  private senders: Flushable[] = [];
  private deliveries = 0;
  private flushing = false;
  private scheduled = false;
  /** Whether nothing that is deferred runs any more. */
  private isLast = false;
  private readonly onTime = (): void => {
    this.scheduled = false;
    this.flush();
  };

  /**
   * Makes one for a transport.
   *
   * @param later - runs a piece of work once the running code has ended, never within the call
   * @param idle - runs a piece of work once the event loop has looked at all that it has, too; default `later`
   * @example
   * ```ts
   * const scheduler = new FlushScheduler((work) => process.nextTick(work));
   * ```
   * @see rule C3
   */
  constructor(later: (work: () => void) => void, idle: (work: () => void) => void = later) {
    this.later = later;
    this.idle = idle;
  }

  /**
   * A delivery begins.
   *
   * @internal
   */
  enter(): void {
    this.deliveries++;
  }

  /**
   * A delivery ends; after the outermost one everything is written.
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
   * Has `sender` flushed at the end of this turn. It adds itself once until then.
   *
   * @internal
   */
  add(sender: Flushable): void {
    this.senders.push(sender);
    this.schedule();
  }

  /**
   * Has `publisher` flushed before the senders, which it adds to.
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

  /** A flush that makes room may lead to more being sent: that waits, or a fast peer would keep all others from being read. */
  private schedule(): void {
    if (this.isLast) this.flush();
    if (this.isLast || this.deliveries > 0 || this.scheduled || this.flushing) return;
    this.scheduled = true;
    this.later(this.onTime);
  }

  /**
   * Runs `work` once the event loop has gone round: for what would otherwise keep it from doing so.
   *
   * @internal
   */
  rest(work: () => void): void {
    this.idle(work);
  }

  /**
   * Has everything flushed now, also within a delivery, and at once what is sent from now on: the process is about to
   * exit (C24).
   *
   * @internal
   */
  flushNow(): void {
    this.isLast = true;
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
