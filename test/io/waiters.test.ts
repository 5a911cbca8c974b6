import { expect, it } from 'vitest';
import { noWaiters } from '../../src/io/waiters.js';

it('C5: `wake` calls the waiters whose bytes were written, in order, but no waiter that is added during the call', () => {
  const woken: string[] = [];
  const wait = (name: string, offset: number, act?: () => void): void => {
    waiters = waiters.append(
      offset,
      () => {
        woken.push(name);
        act?.();
      },
      () => woken.push(`${name} failed`),
    );
  };
  let waiters = noWaiters;
  wait('a', 1, () => wait('late', 4));
  wait('b', 2, () => waiters.wake(2));
  wait('c', 3);
  waiters.wake(0);
  expect(woken).toEqual([]);
  waiters.wake(2);
  expect(woken).toEqual(['a', 'b']);
  expect(waiters.size).toBe(2);
  waiters.wake(Infinity);
  expect(woken).toEqual(['a', 'b', 'c', 'late']);
  expect(noWaiters.size).toBe(0);
});

it('C5: `wake` takes linear time for many waiters, because it does not shift the array for each waiter', () => {
  let waiters = noWaiters;
  let woken = 0;
  for (let i = 0; i < 1_000; i++) {
    waiters = waiters.append(
      i,
      () => woken++,
      () => undefined,
    );
  }
  const { shift } = Array.prototype;
  let shifts = 0;
  Array.prototype.shift = function (this: unknown[]): unknown {
    shifts++;
    return shift.call(this);
  };
  try {
    waiters.wake(Infinity);
  } finally {
    Array.prototype.shift = shift;
  }
  expect([woken, shifts]).toEqual([1_000, 0]);
});
