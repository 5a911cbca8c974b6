/** The violations that a run has found, and a log of the events of the run for a replay. */
export class Findings {
  readonly found: string[] = [];
  /** The events of the run, one line each. Kept only if the run is a replay. */
  readonly story: string[] | undefined;
  private readonly now: () => number;

  constructor(now: () => number, tells: boolean) {
    this.now = now;
    this.story = tells ? [] : undefined;
  }

  wrong(rule: string, what: string): void {
    const text = `${rule}: ${what}`;
    // One fault causes the same finding many times, so only the first 20 findings are kept.
    if (this.found.length < 20) this.found.push(text);
    this.story?.push(`${this.now()} !! ${text}`);
  }

  note(what: () => string): void {
    this.story?.push(`${this.now()} ${what()}`);
  }
}
