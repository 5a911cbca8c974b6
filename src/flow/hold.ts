/**
 * Keeps a {@link Flow} from emitting until it is released. While a Flow is held, its origin stops: rule F3 bounds what waits.
 *
 * Release each Hold. Unsubscribing releases none, and a forgotten Hold stops the Flow for ever.
 *
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
   * Lets the Flow go on, unless another Hold is left. A second call does nothing.
   *
   * Values that wait are emitted within this call if there is a subscriber.
   *
   * @example
   * ```ts
   * hold.release();
   * hold.release(); // does nothing
   * ```
   * @see rules F2 and F9
   */
  release(): void;
  /**
   * Does the same as {@link Hold.release}, at the end of a block with `using`.
   *
   * @example
   * ```ts
   * using _hold = flow.hold(); // until the end of the block
   * await backup();
   * ```
   * @see rule F2
   */
  [Symbol.dispose](): void;
}

/** A Hold that can be taken again after its release, for code that paces a Flow value by value. */
export interface ReacquirableHold extends Hold {
  take(): void;
}

/** Counts its Holds. */
interface Holdable {
  take(): void;
  release(): void;
}

/** The implementation of Hold. It counts once, however often it is taken or released. */
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
