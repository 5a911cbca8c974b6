import { randomBytes } from 'node:crypto';
import type net from 'node:net';
import { firstValueFrom } from 'rxjs';
import { connect, relay } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { places, tcp, unix } from '../support/transport/places.js';
import { pairAt } from '../support/connection/connected-pairs.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { recordBytes } from '../support/recording/record-bytes.js';
import { Recording } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';
import { outcome, digest, setImmediateLoop } from '../support/channel/relayed.js';

const crossings = places.flatMap((from) => places.map((to) => [from.name, to.name, from, to] as const));

describe.each(places.map((place) => [place.name, place] as const))(
  'relay between connections on %s',
  (_name, place) => {
    it('K6: relay forwards messages between connections that use different framings', async () => {
      const one = await pairAt<string, string>(place, { codec: lines(), halfOpen: true });
      const crlf = lines({ delimiter: '\r\n' });
      const other = await pairAt<string, string>(place, { codec: crlf, halfOpen: true });
      const relayed = new Recording(relay(one.far.data, other.near.data));
      one.near.data.next('a line');
      expect((await firstValueFrom(other.far.bytes)).toString()).toBe('a line\r\n');
      other.far.data.next('another');
      expect((await firstValueFrom(one.near.bytes)).toString()).toBe('another\n');
      one.near.data.complete();
      other.far.data.subscribe(other.far.data);
      expect(await relayed.end()).toBe('complete');
    });

    it('K6: nothing is forwarded until the output of relay has a subscriber', async () => {
      const one = await pairAt(place);
      const other = await pairAt(place);
      const cold = relay(one.far.bytes, other.near.bytes);
      one.near.bytes.next('waits');
      await turns();
      expect(other.far.stats.bytesRead).toBe(0);
      const relayed = new Recording(cold);
      expect((await firstValueFrom(other.far.bytes)).toString()).toBe('waits');
      relayed.subscription.unsubscribe();
    });

    it('K6: if the sending sides of both connections have already ended, relay completes immediately and closes both connections', async () => {
      const one = await pairAt(place);
      const other = await pairAt(place);
      one.far.bytes.complete();
      other.near.bytes.complete();
      const relayed = new Recording(relay(one.far.bytes, other.near.bytes));
      expect(await relayed.end()).toBe('complete');
      one.near.bytes.subscribe(one.near.bytes);
      other.far.bytes.subscribe(other.far.bytes);
      expect(await Promise.all([outcome(one.far), outcome(other.near)])).toEqual(['finished', 'finished']);
    });

    it('K6: if one connection has already failed, relay fails immediately', async () => {
      const one = await pairAt(place);
      const other = await pairAt(place);
      one.far.destroy('gone');
      const relayed = new Recording(relay(one.far.bytes, other.near.bytes));
      expect(relayed.endings).toMatchObject([{ code: 'ERR_CLOSED', cause: 'gone' }]);
      expect(await outcome(other.near)).toBe('failed');
    });

    it('K6: if the program ends the sending side of one connection, and the peer of the other connection then completes, nothing is lost', async () => {
      const one = await pairAt(place, { halfOpen: true });
      const other = await pairAt(place, { halfOpen: true });
      const relayed = new Recording(relay(one.far.bytes, other.near.bytes));
      const much = randomBytes(2_000_000);
      other.near.bytes.complete();
      const sending = other.far.bytes.sendFrom([much]).subscribe();
      const received = recordBytes(one.near.bytes);
      other.far.bytes.subscribe({ error: () => undefined });
      one.near.bytes.complete();
      await until(() => received.length === much.length);
      other.far.bytes.complete();
      expect(await received.ended()).toBe('fin');
      expect(digest(received.bytes)).toBe(digest(much));
      expect(await relayed.end()).toBe('complete');
      sending.unsubscribe();
    });
  },
);

describe.each(crossings)('relay of connections from %s to %s', (_from, _to, from, to) => {
  it('K6: relay forwards both directions completely, and buffers only a bounded number of bytes while one side is slow', async () => {
    const one = await pairAt(from, { halfOpen: true });
    const other = await pairAt(to, { halfOpen: true });
    const relayed = new Recording(relay(one.far.bytes, other.near.bytes));
    const up = randomBytes(3_000_000);
    const down = randomBytes(1_000_000);
    const got = { up: [] as Buffer[], down: [] as Buffer[] };
    // `other.far` is held until all of `down` has arrived, so that the buffers for `up` fill up.
    const hold = other.far.bytes.hold();
    other.far.bytes.subscribe({ next: (chunk) => got.up.push(chunk), error: () => undefined });
    one.near.bytes.subscribe({ next: (chunk) => got.down.push(chunk), error: () => undefined });
    const sending = [
      one.near.bytes.sendFrom(slices(up)).subscribe({ complete: () => one.near.bytes.complete() }),
      other.far.bytes.sendFrom(slices(down)).subscribe({ complete: () => other.far.bytes.complete() }),
    ];
    let most = 0;
    const watch = setImmediateLoop(() => {
      most = Math.max(most, one.far.bytes.bufferedBytes, other.near.bytes.bufferedBytes);
    });
    await until(() => Buffer.concat(got.down).length === down.length);
    await turns(50);
    hold.release();
    expect(await relayed.end()).toBe('complete');
    await until(() => Buffer.concat(got.up).length === up.length);
    watch.unsubscribe();
    expect(digest(Buffer.concat(got.up))).toBe(digest(up));
    expect(digest(Buffer.concat(got.down))).toBe(digest(down));
    expect(most).toBeLessThanOrEqual(65_536 * 2);
    for (const each of [one.far, other.near, one.near, other.far]) expect(await outcome(each)).toBe('finished');
    for (const each of sending) each.unsubscribe();
  });

  it('K6: a message that cannot be sent on the other connection fails both connections', async () => {
    const one = await pairAt<string, string>(from, { codec: lines() });
    const other = await pairAt<string, string>(to, { codec: lines({ maxLength: 10 }) });
    const relayed = new Recording(relay(one.far.data, other.near.data));
    one.near.data.next('short');
    expect(await firstValueFrom(other.far.data)).toBe('short');
    one.near.data.next('longer than the other side allows');
    expect(await relayed.end()).toMatchObject({ code: 'ERR_FRAME_TOO_LONG' });
    expect(await firstValueFrom(one.far.closed)).toMatchObject({ error: { code: 'ERR_HANDLER' } });
    expect(await firstValueFrom(other.near.closed)).toMatchObject({ error: { code: 'ERR_FRAME_TOO_LONG' } });
  });
});

describe('relay to a client with reconnect', () => {
  it('K6: relay continues across the connections of the client', async () => {
    const sockets: net.Socket[] = [];
    const upstream = await rawServer(tcp, (socket) => {
      socket.on('data', (chunk) => socket.write(`${sockets.length}${chunk.toString()}`));
      socket.on('end', () => socket.end());
      sockets.push(socket);
    });
    const { far, near } = await pairAt(unix, { halfOpen: true });
    const client = connect(upstream, { reconnect: { delay: 1 } });
    const relayed = new Recording(relay(far.bytes, client.data));
    near.bytes.next('a');
    expect(String(await firstValueFrom(near.bytes))).toBe('1a');
    sockets[0]?.end();
    await until(() => sockets.length === 2);
    near.bytes.next('b');
    expect(String(await firstValueFrom(near.bytes))).toBe('2b');
    expect(relayed.endings).toEqual([]);
    near.bytes.complete();
    expect(await firstValueFrom(near.bytes, { defaultValue: 'end' })).toBe('end');
    expect(await relayed.end()).toBe('complete');
  });
});

function* slices(bytes: Buffer): Generator<Buffer> {
  for (let start = 0; start < bytes.length; start += 20_000) yield bytes.subarray(start, start + 20_000);
}
