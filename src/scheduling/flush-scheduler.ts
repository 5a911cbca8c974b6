/** An object that has buffered values to write at the end of a turn. */
export interface Flushable {
  /**
   * @param cause - `turn`: the scheduler calls this method at the end of the turn, after the scheduler has removed the
   * object from the scheduler's list
   */
  flush(cause: 'turn'): void;
}

/**
 * Makes each connection write once per turn of the event loop, however many messages it sends (C3). A connection writes
 * when a received chunk has been delivered, or when the running code has ended. All sockets of a transport share one
 * scheduler.
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
  /** Whether the process is exiting. While the process exits, deferred work no longer runs. */
  private isExiting = false;
  private readonly onTime = (): void => {
    this.scheduled = false;
    this.flush();
  };

  /**
   * Creates a scheduler for a transport.
   *
   * @param later - runs a function when the running code has ended, never before `later` has returned
   * @param idle - runs a function when the event loop has handled its other events; `later` by default
   */
  constructor(later: (work: () => void) => void, idle: (work: () => void) => void = later) {
    this.later = later;
    this.idle = idle;
  }

  /**
   * Records that the delivery of a received chunk begins.
   *
   * @internal
   */
  enter(): void {
    this.deliveries++;
  }

  /**
   * Records that the delivery of a received chunk ends. The end of the outermost delivery flushes everything.
   *
   * @internal
   */
  leave(): void {
    if (--this.deliveries === 0) this.flush();
  }

  /** @internal */
  get isDelivering(): boolean {
    return this.deliveries > 0;
  }

  /**
   * Flushes `sender` at the end of this turn. A sender must not add itself again before it has been flushed.
   *
   * @internal
   */
  add(sender: Flushable): void {
    this.senders.push(sender);
    this.schedule();
  }

  /**
   * Flushes `publisher` at the end of this turn. Publishers are flushed before senders, because flushing a publisher
   * adds senders.
   *
   * @internal
   */
  addPublisher(publisher: Flushable): void {
    this.publishers.push(publisher);
    this.schedule();
  }

  /**
   * Runs `work` when the running code has ended.
   *
   * @internal
   */
  defer(work: () => void): void {
    this.later(work);
  }

  /**
   * Schedules a flush, unless a flush is already scheduled or running. During a delivery, nothing is scheduled, because
   * the delivery ends with a flush. Values sent during a flush are flushed after the event loop has handled other
   * events. If these values were flushed immediately, a fast peer could keep the process from reading from all other
   * peers.
   */
  private schedule(): void {
    if (this.isExiting) this.flush();
    if (this.isExiting || this.deliveries > 0 || this.scheduled || this.flushing) return;
    this.scheduled = true;
    this.later(this.onTime);
  }

  /**
   * Runs `work` when the event loop has handled its other events.
   *
   * @internal
   */
  afterOtherEvents(work: () => void): void {
    this.idle(work);
  }

  /**
   * Call when the process is about to exit (C24). Flushes everything now, even within a delivery. Later values are
   * flushed as soon as they are sent.
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
      while (this.publishers.length > 0) this.publishers.shift()?.flush('turn');
      const { senders } = this;
      if (senders.length === 0) return;
      this.senders = [];
      let flushed = 0;
      try {
        for (const sender of senders) {
          flushed++;
          sender.flush('turn');
        }
      } finally {
        // If one sender throws, the remaining senders are kept for the next flush, because a sender does not add itself
        // again before it has been flushed.
        if (flushed < senders.length) this.senders = [...senders.slice(flushed), ...this.senders];
      }
    } finally {
      this.flushing = false;
      if (this.senders.length + this.publishers.length > 0 && !this.scheduled && this.deliveries === 0) {
        this.scheduled = true;
        this.idle(this.onTime);
      }
    }
  }
}
