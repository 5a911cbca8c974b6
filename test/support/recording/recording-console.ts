/** Stands in for the global `console` and remembers what was written, an argument after the other. */
export function recordingConsole(): { readonly log: (...values: unknown[]) => void; readonly written: unknown[] } {
  const written: unknown[] = [];
  return { log: (...values) => void written.push(...values), written };
}
