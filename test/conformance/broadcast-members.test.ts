import { setImmediate as nextTurn } from 'node:timers/promises';
import { firstValueFrom, type Subscription } from 'rxjs';
import { Broadcast, type Connection } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { memory, places, realPlaces, tcp, unix, named } from '../support/transport/places.js';
import { acceptedAt, pairAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { readAll } from '../support/sockets/read-socket.js';
import { until } from '../support/scheduling/event-loop.js';
import { countWrites } from '../support/transport/count-writes.js';
import { members } from '../support/server/broadcast-members.js';

describe.each(named(places))('a Broadcast over %s', (_name, place) => {
  it('B4: a member is removed when its connection ends, however the connection ends', async () => {
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

  it('B4: `complete` of a Broadcast ends the sending side of every member, after all values sent earlier', async () => {
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
    peers[0]?.write('still heard');
    expect(String(await firstValueFrom(near[0]!.bytes))).toBe('still heard');
    news.next('ignored');
    news.error('ignored');
    expect(near.map(({ data }) => data.closed)).toEqual([true, true]);
  });

  it('B4: `error` of a Broadcast destroys every member, with the given reason as `cause`', async () => {
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

  it('B5: a connection that joins after `complete` is completed, and a connection that joins after `error` is destroyed', async () => {
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

  it('B5: a connection that joins twice is one member, and `join` returns the same membership both times', async () => {
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
});

describe('a Broadcast', () => {
  it('B1: one Broadcast can have members on several transports', async () => {
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

  it("B1: a client's connection can be a member, and is removed when the connection ends", async () => {
    const { near, far } = await pairAt(tcp);
    const news = new Broadcast();
    news.join(near);
    news.next('from the client');
    expect(String(await firstValueFrom(far.bytes))).toBe('from the client');
    far.destroy();
    near.bytes.subscribe({ error: () => undefined });
    await until(() => news.size === 0);
  });

  it.each(named(realPlaces))(
    'B3: a member whose peer stops reading does not delay the other members, on %s',
    async (_name, place) => {
      const news = new Broadcast();
      const { near: slow, raw } = await acceptedAt(place);
      const { near: fast, raw: reader } = await acceptedAt(place);
      raw.pause();
      const received = readAll(reader);
      news.join(slow);
      news.join(fast);
      const value = Buffer.alloc(60_000, 'x');
      let sent = 0;
      // 20,000,000 bytes are far more than the buffers between the slow member and its peer hold.
      while (sent < 20_000_000) {
        news.next(value);
        sent += value.length;
        await until(() => fast.data.bufferedBytes === 0);
      }
      news.complete();
      expect((await received).length).toBe(sent);
      expect(await firstValueFrom(slow.closed)).toMatchObject({ error: { code: 'ERR_OVERFLOW' } });
      reader.end();
    },
  );

  it('B4: a Broadcast keeps no reference to a connection that is no longer a member', async () => {
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
      // An object that `deref` has returned stays alive until the turn ends.
      await nextTurn();
      globalThis.gc?.();
    }
    expect(left.length + memberships.length).toBe(20);
    expect(kept()).toBe(0);
    // Because this line uses `news`, the Broadcast stays alive until the end of the test.
    expect(news.size).toBe(0);
  });

  it('A5: `join` refuses an object that is not a connection of this library', () => {
    expect(() => new Broadcast().join({} as never)).toThrow(expect.objectContaining({ code: 'ERR_OPTION_INVALID' }));
  });

  it('B1: a member that joins in the middle of a turn gets only the values sent after it joined, even if the members use different transports', async () => {
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
