import { expect, test } from 'vitest';
import { example } from './program.js';

test('the slow consumer example makes its producer wait', async () => {
  const program = example('slow-consumer');
  expect(await program.ended, program.errors).toBe(0);
  const summary = program.lines.at(-1) ?? '';
  const [messages, all, ahead, grown] = Array.from(summary.matchAll(/\d+(\.\d+)?/g), ([number]) => Number(number));
  expect(messages).toBe(2_000);
  expect(all).toBe(125);
  expect(ahead).toBeLessThan(125 / 2);
  expect(grown).toBeLessThan(125 / 2);
});
