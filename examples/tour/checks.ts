import type { Screen } from './screen.js';

export type Claim = readonly [text: string, holds: boolean];

export class Checks {
  /**
   * The number of messages that were sent, and the number of messages that arrived in order, in all parts of the tour.
   */
  sent = 0;
  inOrder = 0;
  private readonly screen: Screen;
  private held = 0;
  private failed = 0;

  constructor(screen: Screen) {
    this.screen = screen;
  }

  that(...claims: readonly Claim[]): void {
    for (const [text, holds] of claims) {
      if (holds) this.held++;
      else this.failed++;
      this.screen.line(`   ${holds ? this.screen.good('ok') : this.screen.bad('FAILED')}  ${text}`);
    }
  }

  get passed(): boolean {
    return this.failed === 0;
  }

  summarize(): void {
    const { screen, held, failed } = this;
    const result = this.passed ? screen.good(`all ${held} hold`) : screen.bad(`${failed} of ${held + failed} FAILED`);
    screen.line(`Summary of the checks: ${result}`);
    screen.line(`messages sent      ${number(this.sent)}`);
    screen.line(`received in order  ${number(this.inOrder)}`);
    screen.line(
      `peak memory        ${mebibytes(process.resourceUsage().maxRSS * 1_024)}, of servers and clients together`,
    );
  }
}

export function number(value: number): string {
  return value.toLocaleString('en');
}

export function kibibytes(bytes: number): string {
  return `${(bytes / 1_024).toFixed(1)} KiB`;
}

export function mebibytes(bytes: number): string {
  const digits = { minimumFractionDigits: 1, maximumFractionDigits: 1 };
  return `${(bytes / 1_048_576).toLocaleString('en', digits)} MiB`;
}
