import { rm } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildWorkshop, type Workshop } from '../../bench/library.js';
import { ServerProcess } from '../../bench/programs.js';
import { pullTimes } from '../../bench/pulled.js';
import { spread } from '../../bench/statistics.js';
import '../support/leaks.js';
import { freshFolder } from '../support/transport/places.js';

// The tests check ratios of processor times within one run. Machines differ: over unix sockets, the ratio was more than
// 3 on one machine, and 2 to 2.8 on another. The limits are low enough for both machines, so a test fails only if
// something has become about twice as expensive.

let workshop: Workshop;

beforeAll(async () => {
  workshop = await buildWorkshop();
});

afterAll(() => rm(workshop.folder, { recursive: true, force: true }));

/** Measures up to ten times, and fails if no result is good enough. A busy machine spoils only some results. */
async function bestOf(measure: () => Promise<number>, goodEnough: (ratio: number) => boolean): Promise<void> {
  const found: number[] = [];
  while (found.length < 10) {
    const ratio = await measure();
    if (goodEnough(ratio)) return;
    found.push(ratio);
  }
  expect.fail(`ten times not reached: ${found.map((ratio) => ratio.toFixed(2)).join(', ')}`);
}

const median = (values: readonly number[]): number => spread(values).median;

describe('the cost of pushed lines', () => {
  const block = Buffer.from(`${'x'.repeat(63)}\n`.repeat(100));
  /**
   * The most lines in flight. If more lines are in flight, the kernel's buffers fill up, and Node joins the plain
   * server's writes.
   */
  const inFlight = { tcp: 2_000, unix: 200 };

  /**
   * Echoes 100 lines, `blocks` times, with at most `most` lines in flight. Returns the processor time of the server in
   * microseconds.
   */
  async function echo(server: ServerProcess, socket: net.Socket, blocks: number, most: number): Promise<number> {
    const before = await server.cpu();
    await new Promise<void>((resolve) => {
      let sent = 0;
      let received = 0;
      const send = (): void => {
        for (; sent < blocks && sent * 100 - received / 64 < most; sent++) socket.write(block);
      };
      const receive = ({ length }: Buffer): void => {
        received += length;
        if (received < blocks * block.length) send();
        else {
          socket.off('data', receive);
          resolve();
        }
      };
      socket.on('data', receive);
      send();
    });
    return (await server.cpu()) - before;
  }

  async function open(server: ServerProcess): Promise<net.Socket> {
    const [, transport, place = ''] = /^(\w+):(.*)$/.exec(server.address) ?? [];
    const address = transport === 'tcp' ? { port: Number(place), host: '127.0.0.1', noDelay: true } : { path: place };
    const socket = net.connect(address);
    await new Promise((resolve) => socket.once('connect', resolve));
    return socket;
  }

  /** Returns the processor time of plain `node:net`, divided by the processor time of this library. */
  async function ratio(transport: 'tcp' | 'unix'): Promise<number> {
    const started: { server: ServerProcess; socket: net.Socket }[] = [];
    try {
      for (const name of ['plain', 'rxjs-sockets']) {
        const where = transport === 'tcp' ? 'tcp' : `unix:${join(await freshFolder(), 'socket')}`;
        const server = await ServerProcess.start(workshop.server(name), 'lines', where);
        started.push({ server, socket: await open(server) });
      }
      const ratios: number[] = [];
      for (let round = -1; round < 5; round++) {
        const costs: number[] = [];
        for (const { server, socket } of started) costs.push(await echo(server, socket, 400, inFlight[transport]));
        if (round >= 0) ratios.push(costs[0]! / costs[1]!);
      }
      return median(ratios);
    } finally {
      for (const { server, socket } of started) {
        socket.destroy();
        await server.stop();
      }
    }
  }

  it.each([
    ['tcp', 1.1],
    ['unix', 1.3],
  ] as const)(
    'over %s, plain node:net needs at least %f times as much processor time as this library',
    async (transport, least) => {
      await bestOf(
        () => ratio(transport),
        (found) => found >= least,
      );
    },
    120_000,
  );
});

describe('the cost of pulled messages', () => {
  const measure = async (way: string, other: string): Promise<number> => {
    const times = await pullTimes(workshop, { messages: 30_000, rounds: 7, only: 'free: ' });
    return median(times[way]!.map((time, round) => time / times[other]![round]!));
  };

  it('`for await` takes at most 3 times as long as an iterator over an array-backed queue', async () => {
    await bestOf(
      () => measure('free: for await', 'the queue'),
      (ratio) => ratio <= 3,
    );
  }, 120_000);

  it('ix takes at least 3 times as long to pull item by item as to pull in batches', async () => {
    await bestOf(
      () => measure('free: ix, item by item', 'free: ix, in batches of 256'),
      (ratio) => ratio >= 3,
    );
  }, 120_000);
});
