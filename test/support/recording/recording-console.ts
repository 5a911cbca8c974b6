/** An object to use in place of the global `console`. It records every written argument. */
export function recordingConsole(): { readonly log: (...values: unknown[]) => void; readonly written: unknown[] } {
  const written: unknown[] = [];
  return { log: (...values) => void written.push(...values), written };
}
