// Measures the cost of pulling messages from a Flow, in nanoseconds of processor time per message, and prints a table:
//   npm run bench:pull
// One process measures all ways to pull, one after another, over in-memory connections. Each round reverses the
// order of the ways.
import { rm } from 'node:fs/promises';
import { pullTimes } from './pulled.js';
import { buildWorkshop } from './library.js';
import { spread } from './statistics.js';

const workshop = await buildWorkshop();
try {
  const times = await pullTimes(workshop, { messages: 100_000, rounds: 9 });
  const base = times['the queue'] ?? [];
  console.log('| way | ns a message | ratio to the queue |');
  console.log('| --- | ------------ | ------------------ |');
  for (const [way, list] of Object.entries(times)) {
    const ratio = spread(list.map((time, round) => time / (base[round] ?? NaN)));
    const range = `${ratio.least.toFixed(2)} to ${ratio.greatest.toFixed(2)}`;
    console.log(`| ${way} | ${spread(list).median.toFixed()} | ${ratio.median.toFixed(2)} (${range}) |`);
  }
} finally {
  await rm(workshop.folder, { recursive: true, force: true });
}
