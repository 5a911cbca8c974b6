import { setImmediate as nextTurn } from 'node:timers/promises';
import { firstValueFrom, type Subscription } from 'rxjs';
import { type Address, Broadcast, connect, type Connection } from 'rxjs-sockets';
import { type Codec, jsonLines, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { memory, type Place, places, named } from '../support/transport/places.js';
import { clientAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { turns, until } from '../support/scheduling/event-loop.js';
import { countWrites } from '../support/transport/count-writes.js';
import { members } from '../support/server/broadcast-members.js';

function counting(): { codec: Codec<string>; count: () => number } {
  const inner = lines();
  let encoded = 0;
  const codec: Codec<string> = {
    decoder: () => inner.decoder(),
    encoder: () => {
      const encoder = inner.encoder();
      return {
        encode: (value, into) => {
          encoded++;
          encoder.encode(value, into);
        },
      };
    },
  };
  return { codec, count: () => encoded };
}

describe.each(named(places))('a Broadcast over %s', (_name, place) => {
  it("B1: every member gets every value, encoded by the Broadcast's codec, whatever codec the member has", async () => {
    const { near, peers } = await members(place, 3, { codec: jsonLines() });
    const news = new Broadcast(lines());
    for (const connection of near) news.join(connection);
    expect(news.size).toBe(3);
    news.next('plain text');
    near[1]?.data.next({ json: true });
    news.next('more');
    await peers[0]?.receives('plain text\nmore\n');
    await peers[1]?.receives('plain text\n{"json":true}\nmore\n');
    await peers[2]?.receives('plain text\nmore\n');
  });

  it('B1: without a codec, a Broadcast sends bytes and text', async () => {
    const { near, peers } = await members(place, 2);
    const news = new Broadcast();
    for (const connection of near) news.join(connection);
    news.next(Buffer.from('bytes, '));
    news.next('text');
    for (const peer of peers) await peer.receives('bytes, text');
  });

  it('B1: the values of a Broadcast keep their order relative to all other values sent to the member in the same turn', async () => {
    const { near, peers } = await members(place, 1, { codec: lines() });
    const [connection] = near as [Connection<string, string>];
    const news = new Broadcast(lines());
    const others = new Broadcast(lines());
    connection.data.next('1');
    news.join(connection);
    others.join(connection);
    news.next('2');
    connection.data.next('3');
    connection.bytes.next('4\n');
    news.next('5');
    others.next('6');
    others.next('7');
    news.next('8');
    void connection.data.send('9');
    others.next('10');
    await peers[0]?.receives('1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n');
    news.next('11');
    connection.data.next('12');
    news.next('13');
    await peers[0]?.receives('1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n');
  });

  it('B1: a member that joins or leaves during a turn gets exactly the values sent while it is a member', async () => {
    const { near, peers } = await members(place, 3);
    const [first, second, third] = near as [Connection, Connection, Connection];
    const news = new Broadcast();
    const leaving = news.join(first);
    news.next('1');
    news.join(second);
    news.next('2');
    leaving.unsubscribe();
    expect(news.size).toBe(1);
    news.next('3');
    news.join(third);
    news.join(first);
    news.next('4');
    await peers[0]?.receives('124');
    await peers[1]?.receives('234');
    await peers[2]?.receives('4');
    news.next('5');
    await peers[0]?.receives('1245');
    await peers[1]?.receives('2345');
    await peers[2]?.receives('45');
  });

  it('B1: a member gets nothing that was sent before it joined', async () => {
    const { near, peers } = await members(place, 2);
    const news = new Broadcast();
    news.next('to nobody');
    news.join(near[0]!);
    news.next('early');
    await peers[0]?.receives('early');
    news.join(near[1]!);
    await turns();
    news.next('late');
    await peers[0]?.receives('earlylate');
    await peers[1]?.receives('late');
  });

  it('B1: values that a member and the Broadcast send while the member receives data go out in the order in which they were sent', async () => {
    const { near, peers } = await members(place, 2, { codec: lines() });
    const news = new Broadcast(lines());
    for (const connection of near) {
      news.join(connection);
      connection.data.subscribe({
        next: (line: string) => {
          connection.data.next(`thanks for ${line}`);
          news.next(`somebody said ${line}`);
          connection.data.next('bye');
        },
        error: () => undefined,
      });
    }
    peers[0]?.write('a\nb\n');
    await peers[0]?.receives('thanks for a\nsomebody said a\nbye\nthanks for b\nsomebody said b\nbye\n');
    await peers[1]?.receives('somebody said a\nsomebody said b\n');
  });

  it('B7: as soon as a value is published, it counts in `bufferedBytes` of every member, so `maxBuffered` applies before the turn ends', async () => {
    const { near, peers } = await members(place, 2, { maxBuffered: 200_000, overflow: 'drop' });
    const news = new Broadcast();
    for (const connection of near) news.join(connection);
    const value = 'x'.repeat(10_000);
    news.next(value);
    near[0]?.bytes.next('more');
    news.next(value);
    expect(near.map(({ data }) => data.bufferedBytes)).toEqual([20_004, 20_000]);
    await peers[1]?.receives(value + value);
    // Each loop below sends, in one turn, far more than the kernel takes. So `maxBuffered` has to apply before the turn
    // ends.
    for (let i = 0; i < 3_000; i++) news.next(value);
    expect(near.every(({ data }) => data.dropped > 0)).toBe(true);
    let most = 0;
    for (let i = 0; i < 3_000; i++) {
      news.next(value);
      most = Math.max(most, ...near.map(({ data }) => data.bufferedBytes));
    }
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(200_000 + value.length);
    for (const connection of near) connection.destroy();
  });

  it('B2: a Broadcast encodes each value once, for any number of members', async () => {
    const { near, peers } = await members(place, 20);
    const { codec, count } = counting();
    const news = new Broadcast(codec);
    for (const connection of near) news.join(connection);
    for (let i = 0; i < 10; i++) news.next(String(i));
    for (const peer of peers) await peer.receives('0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n');
    expect(count()).toBe(10);
  });

  it('B2: the values that a Broadcast sends in one turn go out to each member in one write, with everything else sent to that member in that turn', async () => {
    const { near, peers } = await members(place, 5, { codec: lines() });
    const news = new Broadcast(lines());
    for (const connection of near) news.join(connection);
    const writes = countWrites();
    news.next('1');
    near[0]?.data.next('2');
    // The memory transport flushes in a microtask, so a value sent after a microtask goes out in a second write.
    if (place.name !== 'memory') await Promise.resolve();
    news.next('3');
    near[0]?.data.next('4');
    await peers[0]?.receives('1\n2\n3\n4\n');
    for (const peer of peers.slice(1)) await peer.receives('1\n3\n');
    expect(writes.count).toBe(5);
  });

  it('B3: a member whose peer does not read fails with ERR_OVERFLOW, and the other members get everything', async () => {
    const { near, peers, address } = await members(place, 3, { maxBuffered: 100_000 });
    const slow = await slowMember(place, address, near);
    const news = new Broadcast();
    for (const connection of near) news.join(connection);
    const value = 'x'.repeat(10_000);
    let sent = 0;
    let most = 0;
    // Each round ends when nothing is buffered for the other three members. If the slow member delayed these members,
    // the test would not end.
    while (news.size === 4) {
      news.next(value);
      sent += value.length;
      await until(() => near.slice(0, 3).every((connection) => connection.data.bufferedBytes === 0));
      most = Math.max(most, slow.near.data.bufferedBytes);
    }
    expect(most).toBeLessThanOrEqual(100_000 + value.length);
    expect(await firstValueFrom(slow.near.closed)).toMatchObject({ reason: 'failed', error: { code: 'ERR_OVERFLOW' } });
    news.next('and on');
    for (const peer of peers) await peer.receives(`${'x'.repeat(sent)}and on`);
    slow.stop();
  });

  it("B3: with overflow 'drop', values for a member whose peer does not read are dropped, and counted in `dropped`", async () => {
    const { near, peers, address } = await members(place, 1, { maxBuffered: 100_000, overflow: 'drop' });
    const slow = await slowMember(place, address, near);
    const news = new Broadcast();
    for (const connection of near) news.join(connection);
    const value = 'x'.repeat(10_000);
    let sent = 0;
    while (slow.near.data.dropped < 5) {
      for (let i = 0; i < 3; i++) news.next(value);
      sent += 3;
      await until(() => near[0]?.data.bufferedBytes === 0);
      expect(slow.near.data.bufferedBytes).toBeLessThanOrEqual(100_000 + value.length);
    }
    await peers[0]?.receives('x'.repeat(sent * value.length));
    expect(near[0]?.data.dropped).toBe(0);
    expect(news.size).toBe(2);
    slow.stop();
  });

  it('B6: a value that cannot be encoded is sent to no member, and is counted in `refused`', async () => {
    const { near, peers } = await members(place, 2);
    const news = new Broadcast(lines());
    for (const connection of near) news.join(connection);
    news.next('before');
    news.next('a line\nwithin a line');
    news.next(undefined as never);
    news.next('after');
    for (const peer of peers) await peer.receives('before\nafter\n');
    expect(news.refused).toBe(2);
    expect(news.size).toBe(2);
  });

  it('B1: if a member fails while a Broadcast flushes, a value that is published at that moment reaches all other members', async () => {
    const { near, peers, address } = await members(place, 2, { maxBuffered: 100_000 });
    const slow = await slowMember(place, address, near);
    const news = new Broadcast();
    const [first, last, middle] = near as [Connection, Connection, Connection];
    for (const connection of [first, middle, last]) news.join(connection);
    slow.near.bytes.subscribe({
      error: () => {
        news.next('(one has left)');
        last.bytes.next('(by hand)');
      },
    });
    const value = 'x'.repeat(10_000);
    let sent = '';
    while (news.size === 3) {
      news.next(value);
      sent += value;
      // Wait until the turn has ended. Within the turn, reading a member's `bufferedBytes` gives this member its values
      // immediately, without a flush.
      await turns(1);
      await until(() => first.data.bufferedBytes === 0 && last.data.bufferedBytes === 0);
    }
    await peers[0]?.receives(`${sent}(one has left)`);
    news.next('.');
    await peers[0]?.receives(`${sent}(one has left).`);
    await peers[1]?.receives(`${sent}(one has left)(by hand).`);
    slow.stop();
  });
});

describe('a Broadcast', () => {
  it('B2: each of a thousand members gets a thousand values in order', async () => {
    const place = memory();
    const counts: number[] = [];
    const news = new Broadcast(lines());
    const { server, address } = await serverAt(place, (connection) => news.join(connection));
    const subscriptions = Array.from({ length: 1_000 }, (_, index) => {
      counts[index] = 0;
      const client = connect<string>(address, { ...place.options, codec: lines() });
      return client.data.subscribe((line) => {
        if (Number(line) !== counts[index]) throw new Error(`${line} instead of ${counts[index]}`);
        counts[index]++;
      });
    });
    await until(() => news.size === 1_000);
    for (let i = 0; i < 1_000; i++) {
      news.next(String(i));
      if (i % 100 === 0) await nextTurn();
    }
    await until(() => counts.every((count) => count === 1_000));
    expect(news.size).toBe(1_000);
    for (const subscription of subscriptions) subscription.unsubscribe();
    for (const connection of server.connections) connection.bytes.subscribe(connection.bytes);
    await until(() => news.size === 0);
  });
});

/** Opens one more connection. The peer of this connection never reads. */
async function slowMember(place: Place, address: Address, near: Connection<any, any>[]) {
  const before = near.length;
  let watching: Subscription | undefined;
  if (place.name === 'memory') {
    const { connection } = await clientAt(place, address, { claimTimeout: 0 });
    watching = connection.closed.subscribe();
  } else (await rawClient(address)).pause();
  await until(() => near.length > before);
  return { near: near.at(-1) as Connection<any, any>, stop: () => watching?.unsubscribe() };
}
