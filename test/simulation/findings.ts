/** The violations found in a run, and a log of its events for a replay. */
export class Findings {
  readonly found: string[] = [];
  /** The events, one line each. Kept only for a replay. */
  readonly story: string[] | undefined;
  private readonly now: () => number;

  constructor(now: () => number, tells: boolean) {
    this.now = now;
    this.story = tells ? [] : undefined;
  }

  wrong(rule: string, what: string): void {
    const text = `${rule}: ${what}`;
    // One fault causes the same finding many times.
    if (this.found.length < 20) this.found.push(text);
    this.story?.push(`${this.now()} !! ${text}`);
  }

  note(what: () => string): void {
    this.story?.push(`${this.now()} ${what()}`);
  }
}
