import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Allocated, CountingServer, slope, type Work } from '../../bench/allocated.js';
import { buildWorkshop, type Workshop } from '../../bench/library.js';
import '../support/leaks.js';
import { freshFolder } from '../support/transport/places.js';

let workshop: Workshop;

beforeAll(async () => {
  workshop = await buildWorkshop();
});

afterAll(() => rm(workshop.folder, { recursive: true, force: true }));

/**
 * Counts the objects that are allocated per message: first over `messages` messages, then over the next
 * `2 * messages`. The server runs without the JIT compiler, so the count is the same in every run.
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

/** Lists how many objects each place in the code allocates per message. */
function breakdown(places: Allocated['places']): string {
  const made = Object.entries(places).filter(([, each]) => each > 0.05);
  return made.map(([name, each]) => `\n${each.toFixed(2)} ${name}`).join('');
}

describe.each(['tcp', 'unix'])('allocations per message over %s', (transport) => {
  const place = async (): Promise<string | undefined> =>
    transport === 'tcp' ? undefined : join(await freshFolder(), 'socket');

  // An object that is made once per chunk or turn adds only a fraction per message. `node` is the limit for Node's own
  // objects. With `bytes`, every message takes a chunk and a turn. Node's own objects have no limit then, because their
  // number differs between versions of Node.
  it.each([
    // One object per message: the line.
    { work: 'receive', own: 1, buffers: 0, node: 2, messages: 2_000 },
    // Per message: the line with its ending, and a share of the joined text of the turn.
    { work: 'send', own: 2, buffers: 0, node: 2, messages: 2_000 },
    // Per message: the received line, the line with its ending, and a share of the joined text of the turn.
    { work: 'lines', own: 3, buffers: 0, node: 2, messages: 2_000 },
    // Per message: the received line, and its bytes, which all ten members share.
    { work: 'broadcast', own: 6, buffers: 1, node: 4, messages: 1_000 },
    // Per message: the chunk, a view of reused memory, and the copy that is sent.
    { work: 'bytes', own: 11, buffers: 2, node: Infinity, messages: 500 },
  ] as const)(
    '$work allocates at most $own objects outside Node, and at most $buffers Buffers, in long and short bursts',
    async ({ work, own, buffers, node, messages }) => {
      for (const each of await count(work, await place(), messages)) {
        expect(each.own, breakdown(each.places)).toBeGreaterThan(0.9);
        expect(each.own, breakdown(each.places)).toBeLessThan(own + 0.75);
        expect(each.objects - each.own, breakdown(each.places)).toBeLessThan(node);
        const made = Object.entries(each.places).filter(([name]) => name.startsWith('FastBuffer '));
        expect(made.reduce((sum, [, number]) => sum + number, 0)).toBeLessThan(buffers + 0.5);
      }
    },
    60_000,
  );
});
