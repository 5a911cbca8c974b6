/**
 * Keeps a {@link Flow} from emitting until the Hold is released. While a Flow is held, its origin is paused, too, so
 * only a limited amount of data is buffered.
 *
 * Release each Hold. Unsubscribing does not release it, and a forgotten Hold stops the Flow forever.
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
   * Lets the Flow continue, unless it has other Holds. A second call does nothing.
   *
   * If the Flow continues and has a subscriber, available values are emitted within this call.
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
   * Releases the Hold at the end of a `using` block, as {@link Hold.release} does.
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

/** A Hold that can be acquired again after its release, for code that paces a Flow value by value. */
export interface ReacquirableHold extends Hold {
  acquire(): void;
}

/** Holds `flow` with a Hold that can be acquired again. */
export function pacingHold(flow: { hold(): Hold }): ReacquirableHold {
  const hold = flow.hold();
  return hold instanceof CountedHold ? hold : new RepeatedHold(flow, hold);
}

/** The owner of Holds, which counts them. */
interface Holdable {
  acquire(): void;
  release(): void;
}

/** The implementation of Hold. Its owner counts it once, however often it is acquired or released. */
export class CountedHold implements ReacquirableHold {
  private readonly owner: Holdable;
  private held = false;

  constructor(owner: Holdable) {
    this.owner = owner;
    this.acquire();
  }

  acquire(): void {
    if (this.held) return;
    this.held = true;
    this.owner.acquire();
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

/** Holds a Flow that is not of one of the library's own classes, with a new Hold each time. */
class RepeatedHold implements ReacquirableHold {
  private readonly flow: { hold(): Hold };
  private hold: Hold | undefined;

  constructor(flow: { hold(): Hold }, hold: Hold) {
    this.flow = flow;
    this.hold = hold;
  }

  acquire(): void {
    this.hold ??= this.flow.hold();
  }

  release(): void {
    const { hold } = this;
    this.hold = undefined;
    hold?.release();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
