import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Allocated, CountingServer, slope, type Work } from '../../bench/allocated.js';
import { buildWorkshop, type Workshop } from '../../bench/library.js';
import '../support/leaks.js';
import { freshFolder } from '../support/places.js';

let workshop: Workshop;

beforeAll(async () => {
  workshop = await buildWorkshop();
});

afterAll(() => rm(workshop.folder, { recursive: true, force: true }));

/**
 * Counts objects for each of `messages` more messages, and again for each of twice as many more. Without a compiler every
 * object that the code asks for is made, so the count is the same in every run.
 */
async function count(work: Work, path: string | undefined, messages: number): Promise<[Allocated, Allocated]> {
  const server = await CountingServer.start(workshop, 'rxjs-sockets', work, path, ['--jitless']);
  try {
    await server.send(messages);
    const once = await server.allocated(messages);
    const twice = await server.allocated(2 * messages);
    const fourTimes = await server.allocated(4 * messages);
    return [slope(once, twice, messages), slope(twice, fourTimes, 2 * messages)];
  } finally {
    await server.stop();
  }
}

/** Who made how much, for whoever has to find what is new. */
function told(places: Allocated['places']): string {
  const made = Object.entries(places).filter(([, each]) => each > 0.05);
  return made.map(([name, each]) => `\n${each.toFixed(2)} ${name}`).join('');
}

describe.each(['tcp', 'unix'])('objects for each message, over %s', (transport) => {
  const place = async (): Promise<string | undefined> =>
    transport === 'tcp' ? undefined : join(await freshFolder(), 'socket');

  // What is done once a chunk or a turn adds under a quarter of an object to a line. Of Node's own there is none for a line.
  it.each([
    // The line.
    ['receive', 1, 2_000],
    // The line with its ending, and the text of the turn with it.
    ['send', 2, 2_000],
    // The line that came, and the two of the one that is sent.
    ['lines', 3, 2_000],
    // The line that came, and its bytes, once for all ten members.
    ['broadcast', 8, 1_000],
  ] as const)(
    '%s: at most %i, in a long burst as in a short one',
    async (work, objects, messages) => {
      const [few, many] = await count(work, await place(), messages);
      expect(few.objects, told(few.places)).toBeGreaterThan(0.9);
      expect(few.objects, told(few.places)).toBeLessThan(objects + 0.75);
      expect(many.objects, told(many.places)).toBeLessThan(objects + 0.75);
    },
    60_000,
  );

  // Here every message is a chunk and a turn, and Node's own objects differ from version to version.
  it('bytes: at most 11 for a chunk that is sent back, besides those of Node, and no copy of it', async () => {
    const [few, many] = await count('bytes', await place(), 100);
    expect(few.own, told(few.places)).toBeGreaterThan(0.9);
    for (const each of [few, many]) {
      expect(each.own, told(each.places)).toBeLessThan(11.75);
      const buffers = Object.entries(each.places).filter(([name]) => name.startsWith('FastBuffer '));
      expect(buffers.reduce((sum, [, made]) => sum + made, 0)).toBeLessThan(1.5);
    }
  }, 60_000);
});
