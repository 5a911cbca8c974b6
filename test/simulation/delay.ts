/**
 * How long a state may last, in ms. Free room in the kernel is reported one instant late, and the code that waits for
 * the room runs one turn of the event loop later (C5).
 */
const longest = 2;

/** A state that may occur briefly, but must not last. */
export class Delay {
  private since: number | undefined;

  /** Call when the state was left, even if only between two instants. */
  begin(): void {
    this.since = undefined;
  }

  /** Call at each instant. `is` says whether the state applies now. Returns whether it has lasted too long. */
  lasts(is: boolean): boolean {
    if (is) this.since ??= Date.now();
    else this.since = undefined;
    return this.since !== undefined && Date.now() - this.since > longest;
  }
}
