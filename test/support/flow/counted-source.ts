/** An endless async iterable that counts how often it was pulled. */
export function countedSource(value: string) {
  const counts = { pulled: 0, stopped: 0 };
  async function* generate(): AsyncGenerator<string> {
    try {
      for (;;) {
        counts.pulled++;
        yield value;
      }
    } finally {
      counts.stopped++;
    }
  }
  return { counts, source: generate() };
}
