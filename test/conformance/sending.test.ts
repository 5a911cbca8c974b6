import type net from 'node:net';
import { connect, type Connection } from 'rxjs-sockets';
import { lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { allPlaces as places, realPlaces } from '../support/transport/places.js';
import { acceptedAt, clientAt, dialledAt, pairAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { abort, readAll, readBytes } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';
import { countWrites } from '../support/transport/count-writes.js';

const codec = lines();

describe.each(places)('sending, over $name', (place) => {
  /** Runs `work` right after the delivery of the current chunk. The memory transport delivers in a microtask. */
  const soon = place.name === 'memory' ? queueMicrotask : (work: () => void) => process.nextTick(work);

  it('C1: text and bytes of any size arrive byte for byte, in order', async () => {
    const { near, far } = await pairAt(place, { maxBuffered: 1 << 26 });
    const recording = record(far.data);
    const sent: Buffer[] = [];
    const send = (value: Uint8Array | string): void => {
      sent.push(Buffer.from(value as string));
      near.data.next(value);
    };
    const sizes = [0, 1, 2, 255, 4_095, 4_096, 4_097, 10_000, 32_768, 40_000, 65_536, 100_000];
    for (const [index, size] of [...sizes, ...sizes.toReversed()].entries()) {
      send(Buffer.alloc(size, index + 1));
      send(new Uint8Array(size % 300).fill(index));
      send('häß€😀'.repeat(size % 50));
      if (index % 5 === 0) await turns(1);
    }
    near.data.complete();
    await recording.end();
    expect(Buffer.concat(recording.values).equals(Buffer.concat(sent))).toBe(true);
  });

  it('C1: values sent on several channels of one connection arrive in the order of the calls', async () => {
    const { near, far } = await pairAt(place, { codec });
    const framed = near.bytes.framed(lengthPrefixed({ bytes: 1 }));
    const recording = record(far.bytes);
    near.data.next('line');
    near.bytes.next('raw ');
    framed.next('framed');
    near.data.next('line');
    near.data.complete();
    await recording.end();
    expect(String(Buffer.concat(recording.values))).toBe('line\nraw \x06framedline\n');
  });

  it('C2: values sent before the connection opens go out first, in order', async () => {
    const arrived: Connection<string, string>[] = [];
    const { address } = await serverAt<string, string>(place, (connection) => arrived.push(connection), { codec });
    const client = connect<string, string>(address, { ...place.options, codec });
    for (const line of ['1', '2', '3']) client.data.next(line);
    const subscription = client.subscribe((state) => {
      client.data.next(state.status);
    });
    client.data.next('4');
    await until(() => arrived.length === 1);
    client.data.next('5');
    const recording = record(arrived[0]!.data);
    await recording.count(7);
    expect(recording.values).toEqual(['1', '2', '3', 'connecting', '4', 'connected', '5']);
    subscription.unsubscribe();
    await recording.end();
  });

  it('C2: `next` does not throw after the peer has disconnected', async () => {
    const { near, far } = await pairAt(place);
    far.destroy();
    for (let turn = 0; turn < 50; turn++) {
      near.data.next('x'.repeat(1_000));
      await turns(1);
    }
    near.destroy();
    near.data.next('x');
    near.data.complete();
    near.data.complete();
  });

  it('C3: values sent in one turn go out in one write', async () => {
    const { near, far } = await pairAt(place, { codec });
    const recording = record(far.data);
    const writes = countWrites();
    for (let index = 0; index < 1_000; index++) near.data.next(`line ${index}`);
    expect(writes.count).toBe(0);
    await recording.count(1_000);
    expect(writes.count).toBe(1);
    near.data.next('next turn');
    await recording.count(1_001);
    expect(writes.count).toBe(2);
  });

  it('C3: bytes of several sizes, text and the FIN go out in one write if all are sent in one turn', async () => {
    const { near, far } = await pairAt(place);
    const recording = record(far.data);
    const writes = countWrites();
    near.data.next('text');
    for (const size of [1, 100, 10_000, 3, 40_000]) near.data.next(Buffer.alloc(size, 'x'));
    near.bytes.next('text');
    near.data.complete();
    await recording.end();
    expect(Buffer.concat(recording.values).length).toBe(50_112);
    expect(writes.count).toBe(1);
  });

  it('C3: values sent while a chunk is delivered are written at the end of that delivery', async () => {
    const { near, far } = await pairAt(place, { codec });
    const order: string[] = [];
    record(near.data, (line) => {
      order.push(line);
      if (line === 'a') soon(() => order.push('afterwards'));
      near.data.next(line.toUpperCase());
    });
    for (const line of ['a', 'b', 'c']) far.data.next(line);
    const echoed = record(far.data);
    // The first write contains the lines, and the second write contains their echo.
    const writes = countWrites(() => order.push('write'));
    await echoed.count(3);
    await turns(1);
    expect(order).toEqual(['write', 'a', 'b', 'c', 'write', 'afterwards']);
    expect(writes.count).toBe(2);
  });

  it('C3: values sent on one connection while a chunk of another connection is delivered are written at the end of that delivery', async () => {
    const { near, far } = await pairAt(place, { codec });
    const other = await pairAt(place, { codec });
    const order: string[] = [];
    record(near.data, (line) => {
      order.push(line);
      if (line === 'a') soon(() => order.push('afterwards'));
      other.near.data.next(line);
    });
    const relayed = record(other.far.data);
    far.data.next('a');
    far.data.next('b');
    countWrites(() => order.push('write'));
    await relayed.count(2);
    await turns(1);
    expect(order).toEqual(['write', 'a', 'b', 'write', 'afterwards']);
  });

  it('C9: after `complete`, `next` is ignored and `send` rejects with ERR_CLOSED', async () => {
    const { near, far } = await pairAt(place, { codec, halfOpen: true });
    const recording = record(far.data);
    near.data.next('before');
    expect(near.data.closed).toBe(false);
    near.data.complete();
    expect([near.data.closed, near.bytes.closed]).toEqual([true, true]);
    near.data.next('after');
    near.bytes.next('after');
    near.data.complete();
    await expect(near.data.send('after')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    expect(await recording.end()).toBe('complete');
    expect(recording.values).toEqual(['before']);
    near.data.next('long after');
    await expect(near.data.send('long after')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    expect(near.stats.bytesWritten).toBe(7);
    const here = record(near.data);
    far.data.next('still received');
    await here.count(1);
  });

  it('C9: after both sides have ended, `next` is ignored and `send` rejects with ERR_CLOSED', async () => {
    const { near, far } = await pairAt(place, { codec });
    const [here, there] = [record(near.data), record(far.data)];
    near.data.complete();
    far.data.complete();
    await here.end();
    await there.end();
    near.data.next('after');
    await expect(near.data.send('after')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });
});

describe.each(realPlaces)('sending, against node:net over $name', (place) => {
  it('C1: a plain client gets the bytes as they were sent', async () => {
    const { near, raw } = await acceptedAt(place, { codec });
    const sent = Array.from({ length: 20_000 }, (_, index) => `line ${index} ${'ä'.repeat(index % 40)}`);
    for (const [index, line] of sent.entries()) {
      near.data.next(line);
      if (index % 1_000 === 0) await turns(1);
    }
    near.data.complete();
    expect(String(await readAll(raw))).toBe(sent.map((line) => `${line}\n`).join(''));
  });

  it('C2: a plain server first gets the values that were sent before the connection opened', async () => {
    const sockets: net.Socket[] = [];
    const address = await rawServer(place, (socket) => sockets.push(socket));
    const client = connect(address);
    client.data.next('one ');
    client.data.next(Buffer.from('two '));
    const subscription = client.subscribe();
    client.data.next('three');
    client.data.complete();
    await until(() => sockets.length === 1);
    expect(String(await readAll(sockets[0]!))).toBe('one two three');
    sockets[0]!.end();
    await until(() => subscription.closed);
  });

  it('C2: `next` never blocks: values are queued in the process while the peer does not read', async () => {
    const { near, raw } = await dialledAt(place, { maxBuffered: 1 << 26 });
    raw.pause();
    const sent = Buffer.alloc(1 << 24, 'x');
    near.data.next(sent);
    near.data.next('last');
    await turns();
    expect(near.data.bufferedBytes).toBeGreaterThan(1 << 20);
    expect((await readBytes(raw, sent.length)).equals(sent)).toBe(true);
    expect(String(await readBytes(raw, 4))).toBe('last');
    expect(near.data.bufferedBytes).toBe(0);
  });

  it('C3: the hundred lines that answer one line of a plain client go out in one write', async () => {
    const answers = countWrites();
    const { near, raw } = await acceptedAt(place, { codec });
    record(near.data, (line) => {
      for (let index = 0; index < 100; index++) near.data.next(line);
    });
    raw.write('question\n');
    await readBytes(raw, 900);
    // One of the two writes contains the question.
    expect(answers.count).toBe(2);
  });

  it('C9: after a reset by the peer, `send` rejects with the error that closed the channel', async () => {
    const { near, raw } = await acceptedAt(place, { codec });
    const recording = record(near.data);
    await abort(raw, near);
    expect(await recording.end()).toMatchObject({ code: 'ECONNRESET' });
    near.data.next('ignored');
    await expect(near.data.send('refused')).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  it('C1: each of several simultaneous clients gets back the bytes that it has sent', async () => {
    const { address } = await serverAt<string, string>(
      place,
      ({ data }) => {
        data.subscribe(data);
      },
      { codec },
    );
    const clients = await Promise.all([1, 2, 3].map(() => clientAt<string, string>(place, address, { codec })));
    await Promise.all(
      clients.map(async ({ connection }, index) => {
        const recording = record(connection.data);
        const sent = Array.from({ length: 3_000 }, (_, line) => `${index}: ${line}`);
        for (const line of sent) connection.data.next(line);
        connection.data.complete();
        expect(await recording.end()).toBe('complete');
        expect(recording.values).toEqual(sent);
      }),
    );
  });
});
