/**
 * Keeps a {@link Flow} from emitting for as long as it is not released.
 *
 * @see rules F2 and F3
 */
export interface Hold {
  /** Gives the Flow free again, unless someone else holds it too; a second call does nothing (F2). */
  release(): void;
  /** As {@link Hold.release}, so that `using hold = flow.hold()` releases at the end of the block. */
  [Symbol.dispose](): void;
}

/**
 * A Hold that can be taken again after its release: what paces a Flow value by value makes one and keeps it.
 */
export interface Grip extends Hold {
  take(): void;
}

/** What counts its Holds. */
interface Holdable {
  take(): void;
  release(): void;
}

/** The one implementation of Hold: it counts once, however often it is taken or released. */
export class CountedGrip implements Grip {
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
