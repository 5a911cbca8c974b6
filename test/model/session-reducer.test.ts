import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { operations, SessionDriver, type Step, transitions } from '../support/client/session-driver.js';

const step: fc.Arbitrary<Step> = fc.record({
  does: fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom(...operations) },
    // The events up to a connection, and on to the next one.
    {
      weight: 25,
      arbitrary: fc.constantFrom(
        'watch' as const,
        'read' as const,
        'ready' as const,
        'policy waits' as const,
        'policy is due' as const,
        'connection closes' as const,
        'bytes arrive' as const,
        'reader comes to the end' as const,
      ),
    },
  ),
  index: fc.nat(5),
  within: fc.option(fc.constantFrom('watch', 'unwatch', 'read', 'unread', 'client is destroyed', 'client completes'), {
    nil: undefined,
    freq: 3,
  }),
});

/**
 * A reader comes in a new run while another one still reads the end of the last run, which random steps hardly ever do.
 */
const lateReader: Step[] = (
  ['read', 'read', 'read', 'ready', 'reader comes to the end', 'connection closes', 'read'] as const
).map((does) => ({ does, index: 0 }));

describe.each([
  ['without reconnect', undefined],
  ['with three attempts', { attempts: 3, stableAfter: 2_000 }],
  ['with attempts without end', { attempts: Infinity, stableAfter: 2_000 }],
] as const)('the reducer of a client %s', (_name, limits) => {
  it('K2: publishes the states in order, K1, K7: has one attempt at a time, and K8: leaves nothing behind', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const driver = new SessionDriver(limits);
        for (const { does, index, within } of steps) {
          driver.within = within;
          driver.take(does, index);
          driver.check();
        }
        driver.end();
      }),
      { numRuns: 3_000, examples: [[lateReader]] },
    );
  });
});

it("the random steps use each row of the reducer's table, and each of its actions", () => {
  expect(transitions.unused()).toEqual([]);
});
