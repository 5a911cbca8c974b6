import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Fifo } from '../../src/collections/fifo.js';

const calls = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ push: fc.integer({ min: 1, max: 40 }) }) },
    { weight: 4, arbitrary: fc.record({ shift: fc.integer({ min: 1, max: 40 }) }) },
    { weight: 1, arbitrary: fc.constant('clear' as const) },
  ),
  { maxLength: 60 },
);

it('a Fifo behaves like push and shift of an array', () => {
  fc.assert(
    fc.property(calls, (sequence) => {
      const fifo = new Fifo<number>();
      const model: number[] = [];
      let next = 0;
      for (const call of sequence) {
        if (call === 'clear') {
          fifo.clear();
          model.length = 0;
        } else if ('push' in call) {
          for (let i = 0; i < call.push; i++) {
            fifo.push(next);
            model.push(next++);
          }
        } else {
          for (let i = 0; i < call.shift; i++) expect(fifo.shift()).toBe(model.shift());
        }
        expect(fifo.length).toBe(model.length);
        expect(fifo.first).toBe(model[0]);
        const isWanted = (item: number): boolean => item % 5 === 0;
        expect(fifo.find(isWanted)).toBe(model.find(isWanted));
      }
    }),
  );
});

it('a Fifo frees the memory of removed items', () => {
  const fifo = new Fifo<number>();
  for (let i = 0; i < 100_000; i++) {
    fifo.push(i);
    fifo.push(i);
    fifo.shift();
    if (i % 2 === 1) fifo.shift();
    if (i % 2 === 1) fifo.shift();
  }
  while (fifo.shift() !== undefined);
  expect((fifo as unknown as { items: unknown[] }).items.length).toBeLessThan(64);
});
