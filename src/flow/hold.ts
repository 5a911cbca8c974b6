/**
 * Keeps a {@link Flow} from emitting until the Hold is released. The origin of the Flow is also paused, so only a
 * limited amount of data is buffered.
 *
 * Release each Hold: a forgotten Hold stops the Flow forever. Unsubscribing does not release a Hold.
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
   * Releases the Hold. If the Flow has no other Hold, the Flow continues, and emits its available values within this
   * call. A second call of `release` does nothing.
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

/** A Hold that can be acquired again after its release. The library uses it to pace a Flow value by value. */
export interface ReacquirableHold extends Hold {
  acquire(): void;
}

export function pacingHold(flow: { hold(): Hold }): ReacquirableHold {
  const hold = flow.hold();
  return hold instanceof CountedHold ? hold : new RepeatedHold(flow, hold);
}

interface Holdable {
  acquire(): void;
  release(): void;
}

/** A Hold that its owner counts at most once, however often it is acquired. */
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

/** Holds a Flow whose class is not from this library. After a release, `acquire` calls the Flow's `hold` again. */
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
