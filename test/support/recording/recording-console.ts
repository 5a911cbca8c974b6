/** Replaces the global `console` and records what was written, one argument after another. */
export function recordingConsole(): { readonly log: (...values: unknown[]) => void; readonly written: unknown[] } {
  const written: unknown[] = [];
  return { log: (...values) => void written.push(...values), written };
}
