export interface Terminal {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** The time between two updates of a status, in ms. */
const interval = 100;

/**
 * Shows the progress of the tour. On a terminal, the Screen uses colours, and shows a status below the finished lines.
 * If the output is not a terminal, or if NO_COLOR is set, the Screen writes only the finished lines.
 */
export class Screen {
  private readonly terminal: Terminal;
  private readonly live: boolean;
  private open = false;
  private ticks: NodeJS.Timeout | undefined;

  constructor(terminal: Terminal, environment: Readonly<Record<string, string | undefined>>) {
    this.terminal = terminal;
    this.live = terminal.isTTY === true && (environment['NO_COLOR'] ?? '') === '' && environment['TERM'] !== 'dumb';
  }

  heading(text: string): void {
    this.line(this.coloured('1', text));
  }

  /** Writes a line. If a status is shown, the line replaces the status. */
  line(text: string): void {
    clearInterval(this.ticks);
    this.terminal.write(`${this.open ? '\r\x1b[K' : ''}${text}\n`);
    this.open = false;
  }

  /**
   * Shows a status until the next status or line replaces it. Does nothing if the Screen writes only finished lines.
   */
  status(text: string): void {
    if (!this.live) return;
    this.terminal.write(`\r\x1b[K${text.slice(0, (this.terminal.columns ?? 80) - 1)}`);
    this.open = true;
  }

  /**
   * Shows the text that `text` returns as the status, and keeps the status up to date until the next line is written.
   */
  follow(text: () => string): void {
    clearInterval(this.ticks);
    if (!this.live) return;
    this.ticks = setInterval(() => {
      this.status(text());
    }, interval);
  }

  /** Returns a bar of `width` characters. The filled part of the bar is `share` (0 to 1) of the width. */
  bar(share: number, width: number): string {
    const full = Math.round(Math.min(1, Math.max(0, share)) * width);
    return `${'█'.repeat(full)}${'░'.repeat(width - full)}`;
  }

  good(text: string): string {
    return this.coloured('32', text);
  }

  bad(text: string): string {
    return this.coloured('1;31', text);
  }

  private coloured(code: string, text: string): string {
    return this.live ? `\x1b[${code}m${text}\x1b[0m` : text;
  }
}
