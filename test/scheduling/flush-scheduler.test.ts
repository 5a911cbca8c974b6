import { expect, it } from 'vitest';
import { FlushScheduler } from '../../src/scheduling/flush-scheduler.js';

it('C3: a FlushScheduler still flushes the other senders if one sender throws', () => {
  const work: (() => void)[] = [];
  const scheduler = new FlushScheduler((run) => work.push(run));
  const flushed: string[] = [];
  const names = ['a', 'b', 'c', 'd'];
  for (const name of names) {
    scheduler.add({
      flush: () => {
        flushed.push(name);
        if (name === 'b') throw new Error('a broken socket');
      },
    });
  }
  expect(work.shift()).toThrow('a broken socket');
  expect(flushed).toEqual(['a', 'b']);
  work.shift()?.();
  expect(flushed).toEqual(names);
  expect(work).toEqual([]);
});
