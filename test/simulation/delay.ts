/** That the kernel has room is told an instant later, and what waits for that once the event loop has gone round (C5). */
const longest = 2;

/** A state that may be passed through, and in which nothing may stay. */
export class Delay {
  private since: number | undefined;

  /** It was left in between. */
  begin(): void {
    this.since = undefined;
  }

  /** Told again and again whether it is so, it tells whether it has been so for too long. */
  lasts(is: boolean): boolean {
    if (is) this.since ??= Date.now();
    else this.since = undefined;
    return this.since !== undefined && Date.now() - this.since > longest;
  }
}
