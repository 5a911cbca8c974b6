/** What has something to write at the end of a turn. */
export interface Flushable {
  flush(): void;
}

/**
 * Collects what is sent in one turn of the event loop, so that each connection writes once (C3): at the end of the
 * delivery of a chunk where one is under way, otherwise when the running code has ended. A transport makes one for all
 * its sockets.
 *
 * @emits none
 * @throws none
 * @backpressure none
 * @teardown none
 * @example
 * ```ts
 * const turn = new Turn(queueMicrotask);
 * ```
 * @see rule C3
 */
export class Turn {
  private readonly later: (work: () => void) => void;
  private readonly idle: (work: () => void) => void;
  private waiting: Flushable[] = [];
  private deliveries = 0;
  private scheduled = false;
  private readonly onLater = (): void => {
    this.scheduled = false;
    this.flush();
  };

  /**
   * Makes one for a transport.
   *
   * @param later - runs a piece of work once the running code has ended, never within the call
   * @param idle - runs a piece of work once the event loop has looked at all that it has, too; default `later`
   * @returns none
   * @emits none
   * @throws none
   * @backpressure none
   * @teardown none
   * @example
   * ```ts
   * const turn = new Turn((work) => process.nextTick(work));
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
   * Has `sender` flushed at the end of this turn. It adds itself once until then.
   *
   * @internal
   */
  add(sender: Flushable): void {
    this.waiting.push(sender);
    if (this.deliveries > 0 || this.scheduled) return;
    this.scheduled = true;
    this.later(this.onLater);
  }

  /**
   * Runs `work` once the running code has ended.
   *
   * @internal
   */
  defer(work: () => void): void {
    this.later(work);
  }

  /**
   * Runs `work` once the event loop has gone round: for what would otherwise keep it from doing so.
   *
   * @internal
   */
  rest(work: () => void): void {
    this.idle(work);
  }

  private flush(): void {
    if (this.waiting.length === 0) return;
    const senders = this.waiting;
    this.waiting = [];
    for (const sender of senders) sender.flush();
  }
}
