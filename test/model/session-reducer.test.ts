import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { operations, SessionDriver, type Step, transitions } from '../support/client/session-driver.js';

const step: fc.Arbitrary<Step> = fc.record({
  does: fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom(...operations) },
    // The events that lead to a connection, and then to the next connection.
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
 * Sequences that random steps rarely contain. A run of the client lasts from the subscription that makes the client
 * dial until the client ends.
 */
const examples = [
  // A reader joins in a new run, while a different reader still reads the end of the previous run.
  ['read', 'read', 'read', 'ready', 'reader comes to the end', 'connection closes', 'read'],
  // The last reader of the previous run leaves in the new run.
  ['read', 'read', 'ready', 'reader comes to the end', 'connection closes', 'unread'],
  // A connection is lost with so many unread bytes that the next connection must not be read yet.
  [
    'watch',
    'ready',
    'bytes arrive',
    'bytes arrive',
    'connection closes',
    'watch',
    'policy waits',
    'policy is due',
    'ready',
  ],
  // A reader reads the unread bytes of a lost connection, or finds a bad frame in these bytes.
  ['read', 'ready', 'bytes arrive', 'connection closes', 'reader comes to the end'],
  ['read', 'ready', 'bytes arrive', 'connection closes', 'bad frame'],
  ['watch', 'ready', 'bytes arrive', 'connection closes', 'read'],
  // The client fails after its readers have ended, while a reader already waits for the next run.
  [
    'watch',
    'read',
    'ready',
    'client completes',
    'reader comes to the end',
    'client fails',
    'read',
    'connection closes',
  ],
  // The connection still sends after its readers have been notified of the end.
  ['read', 'ready', 'reader comes to the end', 'client is destroyed'],
  ['read', 'ready', 'reader comes to the end', 'connection finishes'],
  ['read', 'ready', 'reader comes to the end', 'watch'],
  ['read', 'ready', 'reader comes to the end', 'read'],
] satisfies Step['does'][][];

describe.each([
  ['without reconnect', undefined],
  ['with three attempts', { attempts: 3, stableAfter: 2_000 }],
  ['with unlimited attempts', { attempts: Infinity, stableAfter: 2_000 }],
] as const)('the reducer of a client %s', (_name, limits) => {
  it('K2: the reducer publishes the states in order, has one attempt at a time (K1, K7), and leaves nothing behind (K8)', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const driver = new SessionDriver(limits);
        for (const { does, index, within } of steps) {
          driver.within = within;
          driver.take(does, index);
          driver.check();
        }
        driver.end();
      }),
      { numRuns: 600, examples: examples.map((steps): [Step[]] => [steps.map((does) => ({ does, index: 0 }))]) },
    );
  });
});

it("the random steps use each row and each action of the reducer's table", () => {
  expect(transitions.unused()).toEqual([]);
});
