import { lastValueFrom, map } from 'rxjs';
import { type Connection, sendTo } from 'rxjs-sockets';
import { describe, expect, it } from 'vitest';
import { allPlaces as places, allRealPlaces as realPlaces } from '../support/transport/places.js';
import { pairAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { countWrites } from '../support/transport/count-writes.js';

describe.each(places)('a paced sender over $name', (place) => {
  it('C5: `sendFrom` never causes an overflow, however small maxBuffered is, and however large the sent values are', async () => {
    const { near, far } = await pairAt(place, { maxBuffered: 10_000 });
    const values = Array.from({ length: 400 }, (_, i) => Buffer.alloc(7_000 + ((i * 7_919) % 20_000)));
    const size = values.reduce((sum, value) => sum + value.length, 0);
    let most = 0;
    const sent = lastValueFrom(
      near.data.sendFrom(
        (function* () {
          for (const value of values) {
            yield value;
            most = Math.max(most, near.data.bufferedBytes);
          }
        })(),
      ),
      { defaultValue: 'flushed' },
    );
    let received = 0;
    for await (const chunk of far.data) {
      received += chunk.length;
      if (received === size) break;
    }
    expect(await sent).toBe('flushed');
    // At most `maxBuffered` and one value are buffered (C4).
    expect(most).toBeLessThanOrEqual(10_000 + 27_000);
  });

  it('C7: even without halfOpen, an echo completes after the peer has ended its side, and the peer gets the whole echo', async () => {
    for (const send of [true, false]) {
      const { near, far } = await pairAt(place, { halfOpen: false });
      const echo = send
        ? near.data.sendFrom(near.data)
        : near.data.pipe(
            map((chunk) => chunk.toString('latin1')),
            sendTo(near.data),
          );
      const done = lastValueFrom(echo, { defaultValue: 'flushed' });
      far.data.next('x'.repeat(300_000));
      far.data.complete();
      let received = 0;
      for await (const chunk of far.data) received += chunk.length;
      expect(received).toBe(300_000);
      expect(await done).toBe('flushed');
    }
  });
});

describe.each(realPlaces)('a slow plain peer over $name', (place) => {
  const MiB = 1_048_576;

  /** Connects a peer that reads only during `readUntil`. */
  async function slowPeer(options: object) {
    let accepted: (connection: Connection) => void = () => undefined;
    const connected = new Promise<Connection>((resolve) => {
      accepted = resolve;
    });
    const { address } = await serverAt(place, (connection) => accepted(connection), options);
    const raw = await rawClient(address);
    raw.pause();
    const connection = await connected;
    const readUntil = async (condition: () => boolean): Promise<void> => {
      while (!condition()) {
        raw.read();
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    return { connection, readUntil };
  }

  it('C5: the channel becomes writable again before the peer has read all bytes of one large write', async () => {
    const { connection, readUntil } = await slowPeer({ highWaterMark: MiB, maxBuffered: 64 * MiB });
    const seen: boolean[] = [];
    connection.data.writable.subscribe({ next: (writable) => seen.push(writable) });
    connection.data.next(Buffer.alloc(24 * MiB));
    const more = connection.data.send(Buffer.alloc(1));
    await readUntil(() => connection.data.bufferedBytes <= MiB / 2);
    await more;
    expect(seen).toEqual([true, false, true]);
    connection.destroy();
  });

  it('C5: `send` resolves only when the channel is writable, even if the kernel has already taken the sent value', async () => {
    const { connection, readUntil } = await slowPeer({ maxBuffered: 64 * MiB });
    let buffered = -1;
    const first = connection.data.send(Buffer.alloc(16 * MiB)).then(() => {
      buffered = connection.data.bufferedBytes;
    });
    await new Promise((resolve) => setImmediate(resolve));
    connection.data.next(Buffer.alloc(20 * MiB));
    let over = false;
    void first.then(() => {
      over = true;
    });
    await readUntil(() => over);
    expect(buffered).toBeLessThanOrEqual(65_536);
    connection.destroy();
  });

  it('C3: if a timer callback sends a value, and starts microtasks and nextTick callbacks that send values, all these values go out in one write', async () => {
    const { connection } = await slowPeer({});
    const writes = countWrites();
    await new Promise<void>((resolve) => {
      setTimeout(() => {
        connection.data.next('a');
        queueMicrotask(() => connection.data.next('b'));
        process.nextTick(() => connection.data.next('c'));
        void Promise.resolve().then(() => connection.data.next('d'));
        setImmediate(resolve);
      });
    });
    expect(writes.count).toBe(1);
    connection.destroy();
  });
});
