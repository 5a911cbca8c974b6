/** Where a Screen writes. */
export interface Terminal {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/**
 * Shows how the tour goes: on a terminal in colour, with one line that is written again and again; elsewhere, or where
 * NO_COLOR is set, in plain lines, and fewer of them.
 */
export class Screen {
  /** How often a status is worth showing, in ms. */
  readonly interval: number;
  private readonly terminal: Terminal;
  private readonly live: boolean;
  private open = false;

  constructor(terminal: Terminal, environment: Readonly<Record<string, string | undefined>>) {
    this.terminal = terminal;
    this.live = terminal.isTTY === true && (environment['NO_COLOR'] ?? '') === '' && environment['TERM'] !== 'dumb';
    this.interval = this.live ? 100 : 500;
  }

  heading(text: string): void {
    this.line('');
    this.line(this.coloured('1', text));
  }

  line(text: string): void {
    this.keep();
    this.terminal.write(`${text}\n`);
  }

  /** A line that the next status takes the place of, where the terminal can do that. */
  status(text: string): void {
    if (!this.live) {
      this.line(text);
      return;
    }
    this.terminal.write(`\r\x1b[K${text.slice(0, (this.terminal.columns ?? 80) - 1)}`);
    this.open = true;
  }

  /** Lets the next status begin a new line. */
  keep(): void {
    if (this.open) this.terminal.write('\n');
    this.open = false;
  }

  /** As many blocks as `share`, 0 to 1, has of `width`; nothing where lines are plain. */
  bar(share: number, width: number): string {
    if (!this.live) return '';
    const full = Math.round(Math.min(1, Math.max(0, share)) * width);
    return `${'█'.repeat(full)}${'░'.repeat(width - full)} `;
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
