/** What was found wrong in a run, and what happened in it, where somebody wants to know. */
export class Findings {
  readonly found: string[] = [];
  /** What happened, one line each; only kept for a replay. */
  readonly story: string[] | undefined;
  private readonly now: () => number;

  constructor(now: () => number, tells: boolean) {
    this.now = now;
    this.story = tells ? [] : undefined;
  }

  /** Something that must not be. */
  wrong(rule: string, what: string): void {
    const text = `${rule}: ${what}`;
    // One fault shows itself again and again.
    if (this.found.length < 20) this.found.push(text);
    this.story?.push(`${this.now()} !! ${text}`);
  }

  note(what: () => string): void {
    this.story?.push(`${this.now()} ${what()}`);
  }
}
