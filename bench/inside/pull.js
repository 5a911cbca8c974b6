/**
 * Measures the cost of pulling messages. One process runs all ways to pull, one after another, and prints the
 * nanoseconds of processor time per message for each way.
 */
import { map as mapItems } from 'ix/asynciterable/operators';
import { filter, firstValueFrom } from 'rxjs';
import { connect, listen } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { pull } from 'rxjs-sockets/ix';
import { memoryTransport } from 'rxjs-sockets/testing';

/** What most people write by hand: an async iterator over a queue that other code fills. @template T */
class Queue {
  items = /** @type {T[]} */ ([]);
  head = 0;
  ended = false;
  waiting = /** @type {((result: IteratorResult<T>) => void) | undefined} */ (undefined);

  /** @param {T} value */
  push(value) {
    const { waiting } = this;
    if (waiting === undefined) this.items.push(value);
    else {
      this.waiting = undefined;
      waiting({ done: false, value });
    }
  }

  end() {
    this.ended = true;
    this.waiting?.({ done: true, value: undefined });
  }

  /** @returns {Promise<IteratorResult<T>>} */
  next() {
    const { items, head } = this;
    if (head < items.length) {
      const value = /** @type {T} */ (items[head]);
      this.head++;
      if (this.head === items.length) {
        items.length = 0;
        this.head = 0;
      }
      return Promise.resolve({ done: false, value });
    }
    if (this.ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => (this.waiting = resolve));
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}

const line = 'x'.repeat(63);
const perBlock = 1_000;
const transport = memoryTransport();

/**
 * A codec whose messages cost nothing to decode, so that only the pulling is measured. Each byte stands for 1,000
 * messages.
 *
 * @type {import('rxjs-sockets/codecs').Codec<string, never>}
 */
const free = {
  decoder() {
    let left = 0;
    return {
      decode(bytes) {
        if (left === 0) {
          if (bytes.length === 0) return undefined;
          bytes.skip(1);
          left = perBlock;
        }
        left--;
        return line;
      },
    };
  },
  encoder: () => ({ encode: () => undefined }),
};

/**
 * Makes an in-memory connection that receives `block` as many times as `blocks` says, and then ends.
 *
 * @param {import('rxjs-sockets/codecs').Codec<string, never>} codec
 * @param {Buffer} block
 * @param {number} blocks
 */
async function received(codec, block, blocks) {
  const address = 'memory:pull';
  const server = listen(address, { transport, codec });
  const connected = firstValueFrom(server);
  const client = connect(address, { transport });
  const states = firstValueFrom(client.pipe(filter((state) => state.status === 'connected')));
  client.subscribe();
  const { data } = await connected;
  const { connection: far } = await states;
  const sent = function* () {
    for (let i = 0; i < blocks; i++) yield block;
  };
  far.data.sendFrom(sent()).subscribe({ complete: () => far.data.complete() });
  return data;
}

/** @param {AsyncIterable<string>} source */
async function consume(source) {
  let size = 0;
  let count = 0;
  for await (const item of source) {
    size += item.length;
    count++;
  }
  return size / line.length === count ? count : 0;
}

/** @typedef {(count: number) => Promise<() => Promise<number>>} Way */

/** @param {(count: number) => ReturnType<typeof received>} flow @returns {Record<string, Way>} */
const over = (flow) => ({
  pushed: async (count) => {
    const data = await flow(count);
    return () => {
      let got = 0;
      return new Promise((resolve) => {
        data.subscribe({ next: (item) => (got += item.length), complete: () => resolve(got / line.length) });
      });
    };
  },
  'pushed into the queue': async (count) => {
    const data = await flow(count);
    return () => {
      const queue = new Queue();
      data.subscribe({ next: (item) => queue.push(item), complete: () => queue.end() });
      return consume(queue);
    };
  },
  'for await': async (count) => {
    const data = await flow(count);
    return () => consume(data);
  },
  'ix, item by item': async (count) => {
    const data = await flow(count);
    return () => consume(pull(data).pipe(mapItems((item) => item)));
  },
  'ix, in batches of 256': async (count) => {
    const data = await flow(count);
    return async () => {
      let size = 0;
      const batches = pull(data, { batch: 256 }).pipe(mapItems((items) => items.map((item) => item)));
      for await (const items of batches) for (const item of items) size += item.length;
      return size / line.length;
    };
  },
});

const prefixed = (/** @type {string} */ prefix, /** @type {Record<string, Way>} */ ways) =>
  Object.fromEntries(Object.entries(ways).map(([name, way]) => [`${prefix}: ${name}`, way]));

/** @type {Record<string, Way>} */
const ways = {
  'the queue': async (count) => {
    const queue = new Queue();
    for (let i = 0; i < count; i++) queue.push(line);
    queue.end();
    return () => consume(queue);
  },
  ...prefixed(
    'free',
    over((count) => received(free, Buffer.alloc(1), count / perBlock)),
  ),
  ...prefixed(
    'lines',
    over((count) => received(lines(), Buffer.from(`${line}\n`.repeat(perBlock)), count / perBlock)),
  ),
};

const [, , wanted = '100000', rounds = '9', only = ''] = process.argv;
const count = Math.ceil(Number(wanted) / perBlock) * perBlock;
const names = Object.keys(ways).filter((name) => name === 'the queue' || name.includes(only));
const times = Object.fromEntries(names.map((name) => [name, /** @type {number[]} */ ([])]));
for (let round = -1; round < Number(rounds); round++) {
  for (const name of round % 2 === 0 ? names : names.toReversed()) {
    const way = /** @type {(typeof ways)[string]} */ (ways[name]);
    const run = await way(count);
    const before = process.cpuUsage();
    const got = await run();
    const { user, system } = process.cpuUsage(before);
    if (got !== count) throw new Error(`${name}: ${got} lines instead of ${count}`);
    if (round >= 0) times[name]?.push(((user + system) * 1_000) / count);
  }
}
process.stdout.write(`${JSON.stringify(times)}\n`);
process.exit(0);
