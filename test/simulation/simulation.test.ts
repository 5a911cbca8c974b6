import { describe, expect, it } from 'vitest';
import { type Outcome, simulate } from './world.js';

/** One seed is told in full: `SEED=123 npx vitest run test/simulation`. */
const only = process.env['SEED'];
/** How many are run: `SEEDS=100000 npx vitest run test/simulation`. */
const count = Number(process.env['SEEDS'] ?? 5_000);
/** Where to begin, so that one run after another finds something new. */
const first = Number(process.env['FIRST_SEED'] ?? 1);

function report(seed: number, { found }: Outcome): string {
  return [...found, `seed ${seed}; to see what happened: SEED=${seed} npx vitest run test/simulation`].join('\n');
}

describe('a simulated world', () => {
  it.runIf(only !== undefined)('keeps the rules at the one seed', async () => {
    const seed = Number(only);
    const outcome = await simulate(seed, true);
    console.log(outcome.story.join('\n'));
    expect(outcome.found, report(seed, outcome)).toEqual([]);
  });

  it.skipIf(only !== undefined)(
    'C1, C4, C12, F2, F3, K2, K4, K5, B1, S7: keeps the rules, whatever befalls it',
    async () => {
      const events = new Map<string, number>();
      for (let seed = first; seed < first + count; seed++) {
        const outcome = await simulate(seed);
        if (outcome.found.length > 0) expect.fail(report(seed, outcome));
        for (const [event, times] of outcome.events) events.set(event, (events.get(event) ?? 0) + times);
      }
      console.log(
        [...events]
          .map(([event, times]) => `${event} ${times}`)
          .sort()
          .join(', '),
      );
    },
    count * 1_000,
  );

  it.skipIf(only !== undefined)('does the same again for the same seed', async () => {
    for (let seed = first; seed < first + 20; seed++) {
      const { story } = await simulate(seed, true);
      expect((await simulate(seed, true)).story).toEqual(story);
      expect(story.length).toBeGreaterThan(0);
    }
  });
});
