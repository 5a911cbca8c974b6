/**
 * Keeps a {@link Flow} from emitting for as long as it is not released.
 *
 * @backpressure while one is held, rule F3 bounds what may wait
 * @teardown {@link Hold.release}; unsubscribing releases nothing, and a Hold that is forgotten holds for ever
 * @example
 * ```ts
 * const hold = flow.hold();
 * try {
 *   await backup();
 * } finally {
 *   hold.release();
 * }
 * ```
 * @see rules F2, F3 and F11
 */
export interface Hold {
  /**
   * Gives the Flow free again, unless someone else holds it too; a second call does nothing (F2).
   *
   * @emits the values that wait, within this call, if somebody is subscribed (F9)
   * @backpressure the reading goes on
   * @example
   * ```ts
   * hold.release();
   * hold.release(); // does nothing
   * ```
   * @see rules F2 and F9
   */
  release(): void;
  /**
   * Releases at the end of the block, for `using`; the same as {@link Hold.release}.
   *
   * @emits as {@link Hold.release}
   * @backpressure the reading goes on
   * @example
   * ```ts
   * using _hold = flow.hold(); // until the end of the block
   * await backup();
   * ```
   * @see rule F2
   */
  [Symbol.dispose](): void;
}

/**
 * A Hold that can be taken again after its release: what paces a Flow value by value makes one and keeps it.
 */
export interface ReacquirableHold extends Hold {
  take(): void;
}

/** What counts its Holds. */
interface Holdable {
  take(): void;
  release(): void;
}

/** The one implementation of Hold: it counts once, however often it is taken or released. */
export class CountedHold implements ReacquirableHold {
  private readonly owner: Holdable;
  private held = false;

  constructor(owner: Holdable) {
    this.owner = owner;
    this.take();
  }

  take(): void {
    if (this.held) return;
    this.held = true;
    this.owner.take();
  }

  release(): void {
    if (!this.held) return;
    this.held = false;
    this.owner.release();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
