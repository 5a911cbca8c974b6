/** What has something to write at the end of a turn. */
export interface Flushable {
  flush(): void;
}

/**
 * Collects what is sent in one turn of the event loop, so that each connection writes once (C3): at the end of the
 * delivery of a chunk where one is under way, otherwise when the running code has ended.
 */
export class Turn {
  private readonly soon: (work: () => void) => void;
  private readonly later: (work: () => void) => void;
  private publishers: Flushable[] = [];
  private senders: Flushable[] = [];
  private deliveries = 0;
  private flushing = false;
  private scheduled = false;
  private readonly onTime = (): void => {
    this.scheduled = false;
    this.flush();
  };

  /**
   * @param soon - runs a piece of work once the running code has ended, before anything is read
   * @param later - runs a piece of work once what is there to be read has had its turn
   */
  constructor(soon: (work: () => void) => void, later: (work: () => void) => void) {
    this.soon = soon;
    this.later = later;
  }

  /** A delivery begins. */
  enter(): void {
    this.deliveries++;
  }

  /** A delivery ends; after the outermost one everything is written. */
  leave(): void {
    if (--this.deliveries === 0) this.flush();
  }

  /** Has `sender` flushed at the end of this turn. It adds itself once until then. */
  add(sender: Flushable): void {
    this.senders.push(sender);
    this.schedule();
  }

  /** Has `publisher` flushed before the senders, which it adds to. */
  addPublisher(publisher: Flushable): void {
    this.publishers.push(publisher);
    this.schedule();
  }

  /** Runs `work` once the running code has ended. */
  defer(work: () => void): void {
    this.soon(work);
  }

  /** A flush that makes room may lead to more being sent: that waits, or a fast peer would keep all others from being read. */
  private schedule(): void {
    if (this.deliveries > 0 || this.scheduled || this.flushing) return;
    this.scheduled = true;
    this.soon(this.onTime);
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
        this.later(this.onTime);
      }
    }
  }
}
