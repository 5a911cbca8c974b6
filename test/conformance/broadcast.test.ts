import { setImmediate as nextTurn } from 'node:timers/promises';
import { firstValueFrom, type Subscription } from 'rxjs';
import { type Address, Broadcast, connect, type Connection, type ListenOptions } from 'rxjs-sockets';
import { type Codec, jsonLines, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { type Peer, peerAt } from '../support/sockets/peer.js';
import { memory, type Place, places, realPlaces, tcp, unix } from '../support/transport/places.js';
import { acceptedAt, clientAt, pairAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { readAll } from '../support/sockets/read-socket.js';
import { turns, until } from '../support/scheduling/event-loop.js';
import { countWrites } from '../support/transport/count-writes.js';

/** Connections that a server has accepted, and the plain sockets at their other ends. */
async function members(place: Place, count: number, options: ListenOptions<any, any> = {}) {
  const near: Connection<any, any>[] = [];
  const { address } = await serverAt<any, any>(place, (connection) => near.push(connection), options);
  const peers: Peer[] = [];
  for (let i = 0; i < count; i++) {
    peers.push(await peerAt(place, address));
    await until(() => near.length > i);
  }
  return { near, peers, address };
}

/** Lines; counts how often it was asked to encode. */
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

const named = (some: readonly Place[]): (readonly [string, Place])[] => some.map((place) => [place.name, place]);

describe.each(named(places))('a Broadcast over %s', (_name, place) => {
  it("B1: gives every member every value, encoded by its own codec, whatever the member's", async () => {
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

  it('B1: without a codec its values are bytes, and text', async () => {
    const { near, peers } = await members(place, 2);
    const news = new Broadcast();
    for (const connection of near) news.join(connection);
    news.next(Buffer.from('bytes, '));
    news.next('text');
    for (const peer of peers) await peer.receives('bytes, text');
  });

  it('B1: goes in one order with what else is sent on the connection in the same turn', async () => {
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
    // In a later turn it goes on so.
    news.next('11');
    connection.data.next('12');
    news.next('13');
    await peers[0]?.receives('1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n');
  });

  it('B1: who joins or leaves in the middle of a turn gets what comes in between', async () => {
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

  it('B1: who joins later gets nothing of what was sent before', async () => {
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

  it('B1: a value that a member has sent from within a delivery keeps its place', async () => {
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

  it('B7: what is published in one turn counts for each member, and its bound holds within the turn', async () => {
    const { near, peers } = await members(place, 2, { maxBuffered: 200_000, overflow: 'drop' });
    const news = new Broadcast();
    for (const connection of near) news.join(connection);
    const value = 'x'.repeat(10_000);
    news.next(value);
    near[0]?.bytes.next('more');
    news.next(value);
    expect(near.map(({ data }) => data.bufferedBytes)).toEqual([20_004, 20_000]);
    await peers[1]?.receives(value + value);
    // In one turn far more than even the kernel takes: it does not wait for the turn's end.
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

  it('B2: encodes each value once, however many members there are', async () => {
    const { near, peers } = await members(place, 20);
    const { codec, count } = counting();
    const news = new Broadcast(codec);
    for (const connection of near) news.join(connection);
    for (let i = 0; i < 10; i++) news.next(String(i));
    for (const peer of peers) await peer.receives('0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n');
    expect(count()).toBe(10);
  });

  it("B2: a turn's values, and what else is sent in it, reach each member in one write", async () => {
    const { near, peers } = await members(place, 5, { codec: lines() });
    const news = new Broadcast(lines());
    for (const connection of near) news.join(connection);
    const writes = countWrites();
    news.next('1');
    near[0]?.data.next('2');
    // In memory that is another turn already.
    if (place.name !== 'memory') await Promise.resolve();
    news.next('3');
    near[0]?.data.next('4');
    await peers[0]?.receives('1\n2\n3\n4\n');
    for (const peer of peers.slice(1)) await peer.receives('1\n3\n');
    expect(writes.count).toBe(5);
  });

  it('B3: a member that does not read costs only itself: its overflow ends it, and the others get everything', async () => {
    const { near, peers, address } = await members(place, 3, { maxBuffered: 100_000 });
    const slow = await slowMember(place, address, near);
    const news = new Broadcast();
    for (const connection of near) news.join(connection);
    const value = 'x'.repeat(10_000);
    let sent = 0;
    let most = 0;
    // Each value is with all the others before the next is sent: they wait for nothing.
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

  it("B3: with overflow 'drop' a member that does not read misses values, and counts them", async () => {
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

  it('B4: a connection that ends leaves by itself, however it ends', async () => {
    const { near, peers } = await members(place, 4);
    const news = new Broadcast();
    const memberships = near.map((connection) => news.join(connection));
    for (const connection of near) connection.bytes.subscribe({ error: () => undefined });
    near[0]?.destroy();
    near[1]?.bytes.complete();
    peers[1]?.destroy();
    near[2]?.bytes.complete();
    peers[2]?.end();
    await until(() => news.size === 1);
    expect(memberships.map(({ closed }) => closed)).toEqual([true, true, true, false]);
    news.next('to the one that is left');
    await peers[3]?.receives('to the one that is left');
  });

  it('B4: `complete` completes every member, after what was sent', async () => {
    const { near, peers } = await members(place, 2);
    const news = new Broadcast();
    const memberships = near.map((connection) => news.join(connection));
    news.next('the ');
    near[0]?.bytes.next('very ');
    news.next('end');
    news.complete();
    expect(news.size).toBe(0);
    expect(memberships.every(({ closed }) => closed)).toBe(true);
    await peers[0]?.receives('the very end');
    await peers[1]?.receives('the end');
    for (const peer of peers) expect(await peer.ended).toBe('fin');
    // The receiving side goes on (C6).
    peers[0]?.write('still heard');
    expect(String(await firstValueFrom(near[0]!.bytes))).toBe('still heard');
    news.next('ignored');
    news.error('ignored');
    expect(near.map(({ data }) => data.closed)).toEqual([true, true]);
  });

  it('B4: `error` destroys every member, with the reason', async () => {
    const { near } = await members(place, 2);
    const news = new Broadcast();
    const memberships = near.map((connection) => news.join(connection));
    news.next('perhaps');
    news.error('enough');
    expect(news.size).toBe(0);
    expect(memberships.every(({ closed }) => closed)).toBe(true);
    for (const connection of near) {
      expect(await firstValueFrom(connection.closed)).toMatchObject({
        reason: 'destroyed',
        error: { code: 'ERR_CLOSED', cause: 'enough' },
      });
    }
  });

  it('B5: who joins after the end is ended in the same way', async () => {
    const { near, peers } = await members(place, 2);
    const done = new Broadcast();
    done.complete();
    near[0]?.bytes.next('bye');
    expect(done.join(near[0]!).closed).toBe(true);
    await peers[0]?.receives('bye');
    expect(await peers[0]?.ended).toBe('fin');
    const failed = new Broadcast();
    failed.error('enough');
    expect(failed.join(near[1]!).closed).toBe(true);
    expect(await firstValueFrom(near[1]!.closed)).toMatchObject({ reason: 'destroyed', error: { cause: 'enough' } });
    expect(done.size + failed.size).toBe(0);
  });

  it('B5: a connection whose sending side has ended does not become a member', async () => {
    const { near } = await members(place, 2);
    const news = new Broadcast();
    near[0]?.destroy();
    near[1]?.bytes.complete();
    for (const connection of near) expect(news.join(connection).closed).toBe(true);
    expect(news.size).toBe(0);
    news.next('to nobody');
  });

  it('B5: who joins twice is one member, with one membership', async () => {
    const { near, peers } = await members(place, 1);
    const news = new Broadcast();
    const membership = news.join(near[0]!);
    expect(news.join(near[0]!)).toBe(membership);
    expect(news.size).toBe(1);
    news.next('once');
    await peers[0]?.receives('once');
    membership.unsubscribe();
    expect(news.size).toBe(0);
    const again = news.join(near[0]!);
    membership.unsubscribe();
    expect(news.size).toBe(1);
    news.next(', again');
    await peers[0]?.receives('once, again');
    again.unsubscribe();
  });

  it('B6: a value that can not be encoded is sent to nobody and counted, and the rest goes on', async () => {
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

  it('B1: what a subscriber sends because another member has failed in the middle of a flush reaches all', async () => {
    const { near, peers, address } = await members(place, 2, { maxBuffered: 100_000 });
    const slow = await slowMember(place, address, near);
    const news = new Broadcast();
    // The slow one is in the middle.
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
      // Not within the turn: to look would have them given what waits, one by one.
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

/** One more member, whose peer never reads. */
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

describe('a Broadcast', () => {
  it('B1: has members on several transports at once', async () => {
    const own = memory();
    const sides = await Promise.all([tcp, unix, own].map((place) => members(place, 2, { codec: lines() })));
    const news = new Broadcast(lines());
    for (const { near } of sides) for (const connection of near) news.join(connection);
    expect(news.size).toBe(6);
    const writes = countWrites();
    news.next('to all');
    sides[1]?.near[0]?.data.next('to one');
    sides[2]?.near[0]?.data.next('to one');
    news.next('again');
    for (const [index, { peers }] of sides.entries()) {
      await peers[0]?.receives(index === 0 ? 'to all\nagain\n' : 'to all\nto one\nagain\n');
      await peers[1]?.receives('to all\nagain\n');
    }
    expect(writes.count).toBe(6);
  });

  it("B1: a client's connection can be a member, and leaves when it ends", async () => {
    const { near, far } = await pairAt(tcp);
    const news = new Broadcast();
    news.join(near);
    news.next('from the client');
    expect(String(await firstValueFrom(far.bytes))).toBe('from the client');
    far.destroy();
    near.bytes.subscribe({ error: () => undefined });
    await until(() => news.size === 0);
  });

  it('B2: a thousand members get a thousand values, each in order', async () => {
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

  it.each(named(realPlaces))('B3: who has stopped reading is not waited for, on %s', async (_name, place) => {
    const news = new Broadcast();
    const { near: slow, raw } = await acceptedAt(place);
    const { near: fast, raw: reader } = await acceptedAt(place);
    raw.pause();
    const received = readAll(reader);
    news.join(slow);
    news.join(fast);
    const value = Buffer.alloc(60_000, 'x');
    let sent = 0;
    // Far more than the slow one's buffers take: it fails, the other gets all.
    while (sent < 20_000_000) {
      news.next(value);
      sent += value.length;
      await until(() => fast.data.bufferedBytes === 0);
    }
    news.complete();
    expect((await received).length).toBe(sent);
    expect(await firstValueFrom(slow.closed)).toMatchObject({ error: { code: 'ERR_OVERFLOW' } });
    reader.end();
  });

  it('B4: keeps nothing of a connection that has left', async () => {
    const news = new Broadcast();
    const left: WeakRef<Connection>[] = [];
    const memberships: WeakRef<Subscription>[] = [];
    const { address, server } = await serverAt(tcp, (connection) => {
      left.push(new WeakRef(connection));
      const membership = news.join(connection);
      memberships.push(new WeakRef(membership));
      news.next('hello');
      connection.bytes.complete();
      connection.bytes.subscribe({ error: () => undefined });
      if (left.length % 2 === 0) membership.unsubscribe();
    });
    for (let i = 0; i < 10; i++) {
      const raw = await rawClient(address);
      raw.end();
      expect((await readAll(raw)).toString()).toBe('hello');
    }
    await until(() => server.connections.size === 0);
    expect(news.size).toBe(0);
    const kept = (): number => [...left, ...memberships].filter((ref) => ref.deref() !== undefined).length;
    for (let i = 0; i < 50 && kept() > 0; i++) {
      // What was looked at is kept until the turn is over.
      await nextTurn();
      globalThis.gc?.();
    }
    expect(left.length + memberships.length).toBe(20);
    expect(kept()).toBe(0);
    // It is still there itself.
    expect(news.size).toBe(0);
  });

  it('A5: refuses what is no connection of this library', () => {
    expect(() => new Broadcast().join({} as never)).toThrow(expect.objectContaining({ code: 'ERR_OPTION_INVALID' }));
  });

  it('B1: a late joiner of another transport in the same turn gets what follows', async () => {
    const own = memory();
    const a = await members(tcp, 1);
    const b = await members(own, 1);
    const news = new Broadcast();
    news.join(a.near[0]!);
    news.next('1');
    news.join(b.near[0]!);
    news.next('2');
    await a.peers[0]?.receives('12');
    await b.peers[0]?.receives('2');
  });
});
