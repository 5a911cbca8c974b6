import type net from 'node:net';
import { firstValueFrom, Subscriber, type Subscription, take } from 'rxjs';
import { type Channel, type Connection, relay } from 'rxjs-sockets';
import {
  type ByteQueue,
  type Codec,
  type Decoder,
  fixedLength,
  lengthPrefixed,
  lines,
  mapCodec,
} from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { type Place, realPlaces as places } from '../support/transport/places.js';
import { acceptedAt } from '../support/connection/connected-pairs.js';
import { readBytes } from '../support/sockets/read-socket.js';
import { turns, until } from '../support/scheduling/event-loop.js';

/** Fills the block into which all sockets read, and so overwrites the bytes that other sockets have read. */
async function disturb(place: Place): Promise<void> {
  const { near, raw } = await acceptedAt(place, { codec: fixedLength(1) });
  let count = 0;
  const reading = hear(near.data, (byte) => (count += byte.length));
  raw.write(Buffer.alloc(65_536, '#'));
  await until(() => count === 65_536);
  reading.unsubscribe();
  near.destroy();
}

function hear<T>(channel: Channel<T, any>, next: (value: T) => void): Subscription {
  return channel.subscribe({ next, error: () => undefined });
}

const numbered = (count: number, name = 'line'): string[] =>
  Array.from({ length: count }, (_, index) => `${name} ${index} ${index % 3 === 0 ? 'é' : 'e'}`);

const textOf = (all: readonly string[]): string => all.map((line) => `${line}\n`).join('');

/** A user's codec whose decoder returns views of the queue. */
const heads: Codec<Buffer> = {
  decoder: () => new Heads(),
  encoder: () => ({ encode: (value, into) => into.bytes(value) }),
};

class Heads implements Decoder<Buffer> {
  decode(bytes: ByteQueue): Buffer | undefined {
    if (bytes.length === 0) return undefined;
    const head = bytes.peek(bytes.head.length);
    bytes.skip(head.length);
    return head;
  }
}

/** Collects uncaught errors, so that they do not reach the test runner. */
function uncaught(): unknown[] {
  const errors: unknown[] = [];
  const others = process.listeners('uncaughtException');
  const listener = (error: unknown): void => void errors.push(error);
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', listener);
  onTestFinished(() => {
    process.off('uncaughtException', listener);
    for (const other of others) process.on('uncaughtException', other);
  });
  return errors;
}

const stream = (count: number): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, index) => Buffer.alloc(1_000, index % 251)));

describe.each(places)('memory shared by all sockets for reading, over $name', (place) => {
  it('C19: Buffers that `bytes`, a user codec or a codec of frames has emitted do not change', async () => {
    const channels: ((connection: Connection<any, any>) => Channel<Buffer, any>)[] = [
      ({ bytes }) => bytes,
      ({ bytes }) => bytes.framed(heads),
      ({ bytes }) =>
        bytes.framed(
          mapCodec(
            heads,
            (head) => head.subarray(0),
            (head: Buffer) => head,
          ),
        ),
      ({ bytes }) => bytes.framed(fixedLength(100)),
    ];
    for (const channelOf of channels) {
      const { near, raw } = await acceptedAt<any, any>(place);
      const kept: Buffer[] = [];
      hear(channelOf(near), (chunk) => kept.push(chunk));
      for (let round = 0; round < 5; round++) {
        raw.write(Buffer.alloc(100, String(round)));
        await until(() => Buffer.concat(kept).length === 100 * (round + 1));
      }
      await disturb(place);
      expect(Buffer.concat(kept).toString()).toBe([0, 1, 2, 3, 4].map((round) => String(round).repeat(100)).join(''));
    }
  });

  it('C19: if only the second decoder of a codec returns views of its input, the bytes of these views do not change', async () => {
    let made = 0;
    const codec: Codec<any> = {
      decoder: () => (made++ === 0 ? lines().decoder() : new Heads()),
      encoder: () => lines().encoder(),
    };
    const earlier = await acceptedAt<any, any>(place, { codec });
    const line = firstValueFrom(earlier.near.data);
    earlier.raw.write('line\n');
    expect(await line).toBe('line');
    const { near, raw } = await acceptedAt<any, any>(place, { codec });
    const kept: Buffer[] = [];
    hear(near.data as Channel<Buffer>, (head) => kept.push(head));
    raw.write('first');
    await until(() => kept.length === 1);
    raw.write('other');
    await until(() => kept.length === 2);
    expect(kept.map(String)).toEqual(['first', 'other']);
  });

  it('F2: lines in a chunk that have not yet been emitted do not change while other sockets read', async () => {
    const { near, raw } = await acceptedAt<string, string>(place, { codec: lines() });
    const all = numbered(3_000);
    const got: string[] = [];
    raw.write(textOf(all));
    raw.end();
    for await (const line of near.data) {
      got.push(line);
      if (got.length % 1_000 === 1) await disturb(place);
    }
    expect(got).toEqual(all);
  });

  it('C13: if `bytes` takes over from `data` while a chunk is being delivered, kept chunks of `bytes` do not change', async () => {
    const { near, raw } = await acceptedAt<string, string>(place, { codec: lines() });
    const kept: Buffer[] = [];
    let chunks: Subscription | undefined;
    near.data.pipe(take(1)).subscribe(() => {
      const hold = near.bytes.hold();
      chunks = hear(near.bytes, (chunk) => kept.push(chunk));
      hold.release();
    });
    raw.write('switch\nwhat follows ');
    await until(() => kept.length > 0);
    raw.write('and more');
    await until(() => Buffer.concat(kept).length === 21);
    await disturb(place);
    expect(Buffer.concat(kept).toString()).toBe('what follows and more');
    chunks?.unsubscribe();
  });

  it('C1: a relay to a peer that reads late forwards the bytes unchanged, even if another subscriber keeps these bytes', async () => {
    const from = await acceptedAt(place);
    const to = await acceptedAt(place);
    const relaying = relay(from.near.bytes, to.near.bytes).subscribe({ error: () => undefined });
    const sent = stream(2_000);
    to.raw.pause();
    from.raw.write(sent);
    await turns();
    await disturb(place);
    const kept: Buffer[] = [];
    const second = hear(from.near.bytes, (chunk) => kept.push(chunk));
    const half = await readBytes(to.raw, 1_000_000);
    second.unsubscribe();
    await disturb(place);
    const rest = await readBytes(to.raw, 1_000_000);
    expect(Buffer.concat([half, rest]).equals(sent)).toBe(true);
    const overheard = Buffer.concat(kept);
    const start = sent.indexOf(overheard.subarray(0, 2_000));
    expect(sent.subarray(start, start + overheard.length).equals(overheard)).toBe(true);
    relaying.unsubscribe();
  });

  it('C1: lines forwarded to peers that read late arrive unchanged', async () => {
    const from = await acceptedAt<string, string>(place, { codec: lines() });
    const late = await acceptedAt<string, string>(place, { codec: lines(), maxBuffered: 10_000_000 });
    const early = await acceptedAt<string, string>(place, { codec: lines(), maxBuffered: 10_000_000 });
    const text = textOf(numbered(60_000));
    const reads: Promise<Buffer>[] = [readBytes(early.raw, Buffer.byteLength(text))];
    late.raw.pause();
    let count = 0;
    hear(from.near.data, (line) => {
      late.near.data.next(line);
      early.near.data.next(line);
      count++;
    });
    from.raw.write(text);
    await until(() => count === 60_000);
    await disturb(place);
    reads.push(readBytes(late.raw, Buffer.byteLength(text)));
    for (const read of await Promise.all(reads)) expect(read.toString() === text).toBe(true);
  });

  it('D1: large frames that arrive simultaneously on many connections are complete, each in its own memory', async () => {
    const codec = lengthPrefixed();
    const pairs = await Promise.all([1, 2, 3, 4].map(() => acceptedAt<Buffer, Buffer>(place, { codec })));
    const frames = await Promise.all(
      pairs.map(async ({ near, raw }, index) => {
        const frame = Buffer.alloc(400_004, index + 1);
        frame.writeUInt32BE(400_000);
        const first = firstValueFrom(near.data.pipe(take(1)));
        for (let at = 0; at < frame.length; at += 50_000) {
          raw.write(frame.subarray(at, at + 50_000));
          await turns(3);
        }
        return first;
      }),
    );
    await disturb(place);
    frames.forEach((frame, index) => expect(frame.equals(Buffer.alloc(400_000, index + 1))).toBe(true));
  });

  it('C1: if a subscriber throws while it gets a value and the program continues, later data is correct', async () => {
    const errors = uncaught();
    const { near, raw } = await acceptedAt<Buffer, Buffer>(place, { codec: fixedLength(1_000) });
    const got: Buffer[] = [];
    class Throwing extends Subscriber<Buffer> {
      override next(message: Buffer): void {
        got.push(message);
        if (got.length % 170 === 0) throw new Error('as the test says');
      }

      override error(): void {
        // The connection is destroyed at the end of the test.
      }
    }
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- RxJS catches what an observer throws
    near.data.subscribe(new Throwing());
    const sent = stream(3_000);
    raw.end(sent);
    await until(() => got.length === 3_000);
    await turns();
    expect(errors.length).toBeGreaterThan(10);
    expect(Buffer.concat(got).equals(sent)).toBe(true);
  });

  it('C1: if a nextTick callback throws right after a value was emitted and the program continues, later data is correct', async () => {
    const errors = uncaught();
    const { near, raw } = await acceptedAt<Buffer, Buffer>(place, { codec: fixedLength(1_000) });
    const got: Buffer[] = [];
    hear(near.data, (message) => {
      got.push(message);
      if (got.length % 170 !== 0) return;
      process.nextTick(() => {
        throw new Error('as the test says');
      });
    });
    const sent = stream(3_000);
    raw.end(sent);
    await until(() => got.length === 3_000);
    await turns();
    expect(errors.length).toBeGreaterThan(10);
    expect(Buffer.concat(got).equals(sent)).toBe(true);
  });

  it('F3: no memory is reserved for a frame that is announced but never arrives', async () => {
    const { gc } = globalThis;
    if (gc === undefined) return expect.unreachable('run with --expose-gc');
    const codec = lengthPrefixed({ maxLength: 16_777_216 });
    const header = Buffer.from([1, 0, 0, 0, 1, 2, 3]);
    const pairs = await Promise.all(Array.from({ length: 20 }, () => acceptedAt<Buffer, Buffer>(place, { codec })));
    for (const { near } of pairs) near.data.subscribe({ error: () => undefined });
    gc();
    const before = process.memoryUsage().arrayBuffers;
    const announce = (raw: net.Socket): boolean => raw.write(header);
    for (const { raw } of pairs) announce(raw);
    await until(() => pairs.every(({ near }) => near.stats.bytesRead === header.length));
    gc();
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000);
  });
});

it("C19: if a user's decoder wraps a decoder of the library and keeps views of its input, these views do not change", async () => {
  const kept: Buffer[] = [];
  const codec: Codec<string> = {
    decoder() {
      const inner = lines().decoder();
      return {
        ...inner,
        decode(bytes: ByteQueue) {
          if (bytes.length > 0) kept.push(bytes.peek(bytes.length));
          return inner.decode(bytes);
        },
      };
    },
    encoder: () => lines().encoder(),
  };
  const { near, raw } = await acceptedAt(places[0]!, { codec });
  const values: string[] = [];
  hear(near.data, (value) => values.push(value));
  for (const line of ['first', 'OTHER']) {
    raw.write(`${line}\n`);
    await until(() => values.includes(line));
  }
  expect(kept.map(String)).toEqual(['first\n', 'OTHER\n']);
});
