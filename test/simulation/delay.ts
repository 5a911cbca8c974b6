/**
 * Free room in the kernel is reported an instant later, and code that waits for it runs after a turn of the event loop
 * (C5).
 */
const longest = 2;

/** A state that may be passed through, and must not last. */
export class Delay {
  private since: number | undefined;

  /** Whether it was left in between. */
  begin(): void {
    this.since = undefined;
  }

  /** Called again and again with the current state; returns whether that has lasted too long. */
  lasts(is: boolean): boolean {
    if (is) this.since ??= Date.now();
    else this.since = undefined;
    return this.since !== undefined && Date.now() - this.since > longest;
  }
}
