import { expect, it } from 'vitest';
import { FlushScheduler } from '../../src/scheduling/flush-scheduler.js';

it('C3: if one sender throws, the others are still flushed', () => {
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
