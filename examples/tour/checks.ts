import type { Screen } from './screen.js';

/** What the tour claims, and whether it is so. */
export class Checks {
  sent = 0;
  inOrder = 0;
  private readonly results: { readonly claim: string; readonly holds: boolean }[] = [];

  that(claim: string, holds: boolean): void {
    this.results.push({ claim, holds });
  }

  /** Whether every claim holds. */
  get passed(): boolean {
    return this.results.every(({ holds }) => holds);
  }

  show(screen: Screen): void {
    screen.heading('What was checked');
    for (const { claim, holds } of this.results)
      screen.line(`${holds ? screen.good('  ok  ') : screen.bad('FAILED')}  ${claim}`);
    screen.line('');
    screen.line(`messages sent      ${number(this.sent)}`);
    screen.line(`received in order  ${number(this.inOrder)}`);
    screen.line(`peak memory        ${mebibytes(peakMemory())}`);
  }
}

export function number(value: number): string {
  return value.toLocaleString('en');
}

export function mebibytes(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(1)} MiB`;
}

/** The most memory that this process has had resident, in bytes. */
export function peakMemory(): number {
  return process.resourceUsage().maxRSS * 1_024;
}
