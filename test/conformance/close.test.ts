import { firstValueFrom } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { connect, listen } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { memoryTransport } from 'rxjs-sockets/testing';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { realPlaces } from '../support/transport/places.js';
import { acceptedAt, dialledAt, ends } from '../support/connection/connected-pairs.js';
import { abort, readAll } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';

const codec = lines();
const reply = Buffer.alloc(4 << 20, 'r');

describe.each(ends)('close(), $name', ({ pair }) => {
  it('C11: close() flushes the sent values, sends the FIN, and resolves when the peer has finished', async () => {
    const { near, far } = await pair({ halfOpen: false });
    let size = 0;
    const there = record(far.data, (chunk) => (size += chunk.length));
    near.data.next(reply);
    const closing = near.close();
    expect(near.data.closed).toBe(true);
    await closing;
    expect(await there.end()).toBe('complete');
    expect(size).toBe(reply.length);
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished', bytesWritten: reply.length });
  });

  it('C11: close() reads and discards the remaining input, so the peer gets the complete reply', async () => {
    const { near, far } = await pair({ maxBuffered: 1 << 26, halfOpen: true });
    let size = 0;
    const there = record(far.data, (chunk) => (size += chunk.length));
    far.data.next(Buffer.alloc(8 << 20, 'pipelined'));
    far.data.complete();
    await until(() => near.stats.bytesRead >= 65_536);
    near.data.next(reply);
    await near.close();
    expect(await there.end()).toBe('complete');
    expect(size).toBe(reply.length);
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished', bytesRead: 8 << 20 });
  });

  it('C11: after close() is called, a subscriber that does not hold the channel gets everything that arrives before the FIN of the peer', async () => {
    const { near, far } = await pair({ codec, halfOpen: true });
    const here = record(near.data);
    const there = record(far.data);
    const closing = near.close();
    expect(await there.end()).toBe('complete');
    for (const line of ['still', 'on', 'its', 'way']) {
      far.data.next(line);
      await turns(1);
    }
    far.data.complete();
    await closing;
    expect(await here.end()).toBe('complete');
    expect(here.values).toEqual(['still', 'on', 'its', 'way']);
  });

  it('C11: if the channel is held when close() is called, the input is discarded', async () => {
    const { near, far } = await pair({ codec, halfOpen: true });
    const hold = near.data.hold();
    const here = record(near.data);
    far.data.next('waits');
    await until(() => near.stats.bytesRead === 6);
    const closing = near.close();
    hold.release();
    far.data.next('comes later');
    far.data.complete();
    await closing;
    expect(await here.end()).toBe('complete');
    expect(here.values).toEqual([]);
  });

  it.each([
    ['holds the channel', true],
    ['unsubscribes', false],
  ])('C11: a subscriber that calls close() in its `next`, then %s, does not prevent a clean end', async (_, holds) => {
    const { near, far } = await pair({ codec, halfOpen: true, maxBuffered: 1 << 24, closeTimeout: 0 });
    // The Hold lasts until reading has stopped and many bytes are buffered on both sides.
    const hold = near.data.hold();
    let closing: Promise<void> | undefined;
    const here = record(near.data, () => {
      closing = near.close();
      if (holds) near.data.hold();
      else here.subscription.unsubscribe();
    });
    for (let index = 0; index < 20_000; index++) far.data.next(String(index).padEnd(100));
    far.data.complete();
    await until(() => near.stats.bytesRead >= 65_536);
    await turns();
    hold.release();
    await closing;
    expect(here.values.length).toBe(1);
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished', bytesRead: 20_000 * 101 });
  });

  it('C11: a second close() returns the same promise, and a close() of an ended connection resolves', async () => {
    const { near, far } = await pair({ halfOpen: false });
    const closing = near.close();
    expect(near.close()).toBe(closing);
    await closing;
    await near.close();
    await far.close();
    await far.close();
    near.destroy();
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
  });

  it('C11: both sides can call close() at the same time', async () => {
    const { near, far } = await pair({ maxBuffered: 1 << 24 });
    near.data.next(reply);
    far.data.next(reply);
    await Promise.all([near.close(), far.close()]);
    for (const { closed } of [near, far]) {
      expect(await firstValueFrom(closed)).toMatchObject({ reason: 'finished', bytesRead: reply.length });
    }
  });

  it('C11: close() resolves if the connection is destroyed or fails before the close is complete', async () => {
    const { near } = await pair({ halfOpen: true });
    const closing = near.close();
    near.destroy();
    await closing;
    await near.close();
    const other = await pair({ halfOpen: true });
    const waiting = other.near.close();
    other.far.destroy();
    await waiting;
  });

  it('C11: at closeTimeout, the close is forced, and the promise of close() resolves', async () => {
    const { near, far } = await pair({ closeTimeout: 20, halfOpen: true });
    const hold = far.data.hold();
    const there = record(far.data);
    // While `far.data` is held, the peer stops reading after 120,000 bytes, and does not reach the FIN.
    near.data.next(Buffer.alloc(120_000));
    await near.close();
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed', error: { code: 'ERR_TIMEOUT_CLOSE' } });
    // After the forced close, the kernel still delivers all the data that `near` has sent, and the FIN.
    hold.release();
    expect(await there.end()).toBe('complete');
    expect(Buffer.concat(there.values).length).toBe(120_000);
  });

  it('C11: the close is also forced at closeTimeout if the peer does not read the reply', async () => {
    const { near } = await pair({ closeTimeout: 20, halfOpen: true });
    near.data.next(Buffer.alloc(16 << 20));
    await near.close();
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed', error: { code: 'ERR_TIMEOUT_CLOSE' } });
    expect(near.data.bufferedBytes).toBe(0);
  });
});

describe('close(), in virtual time', () => {
  it('C11: closeTimeout counts from the call of close(), and 0 means no limit', () => {
    const scheduler = new TestScheduler(() => undefined);
    const events: string[] = [];
    scheduler.run(() => {
      for (const closeTimeout of [5_000, 0]) {
        const transport = memoryTransport();
        const server = listen('memory:m', { transport, codec, claimTimeout: 0, halfOpenTimeout: 0 });
        const serving = server.subscribe();
        const client = connect('memory:m', { transport, codec, claimTimeout: 0, closeTimeout });
        const watching = client.subscribe({
          next: (state) => {
            if (state.status !== 'connected') return;
            const { connection } = state;
            connection.closed.subscribe(({ error }) =>
              events.push(`${closeTimeout}: ${scheduler.now()} ${error?.code}`),
            );
            scheduler.schedule(() => void connection.close(), 1_000);
            scheduler.schedule(() => connection.destroy(), 100_000);
          },
          error: () => undefined,
        });
        scheduler.schedule(() => {
          serving.unsubscribe();
          watching.unsubscribe();
        }, 200_000);
      }
    });
    expect(events).toEqual(['5000: 6000 ERR_TIMEOUT_CLOSE', '0: 100000 ERR_CLOSED']);
  });
});

describe.each(realPlaces)('close(), against node:net over $name', (place) => {
  it('C11: a plain client that pipelined a megabyte gets all 4 MB of the reply, and the FIN', async () => {
    const { near, raw } = await acceptedAt(place, { codec });
    raw.pause();
    raw.write('request\n'.repeat(131_072));
    const first = await firstValueFrom(near.data);
    expect(first).toBe('request');
    near.bytes.next(reply);
    const closing = near.close();
    await turns();
    raw.end();
    expect((await readAll(raw)).equals(reply)).toBe(true);
    await closing;
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished', bytesRead: 1 << 20 });
  });

  it('C11: a plain server that keeps sending still gets the last request', async () => {
    const { near, raw } = await dialledAt(place, { codec });
    const noise = setInterval(() => raw.write(Buffer.alloc(10_000)), 1);
    raw.on('end', () => {
      clearInterval(noise);
      raw.end();
    });
    const received = readAll(raw);
    await until(() => near.stats.bytesRead > 20_000);
    near.bytes.next(reply);
    await near.close();
    expect((await received).length).toBe(reply.length);
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
  });

  it('C11: a plain client that never ends its side gets everything sent, and the close is forced at closeTimeout', async () => {
    // `closeTimeout` is long, because a busy machine can need a long time to send the reply. Bytes that have not been
    // sent when the timeout expires are lost.
    const { near, raw } = await acceptedAt(place, { closeTimeout: 1_000 });
    near.data.next(reply);
    const received = readAll(raw);
    await near.close();
    expect((await received).length).toBe(reply.length);
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed', error: { code: 'ERR_TIMEOUT_CLOSE' } });
  });

  it('C11: close() resolves when a plain client resets the connection', async () => {
    const { near, raw } = await acceptedAt(place);
    near.data.next(Buffer.alloc(200_000));
    const closing = near.close();
    await until(() => raw.readableLength > 0);
    if (place.name === 'tcp') await abort(raw, near);
    else raw.pause().destroy();
    await closing;
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed', error: { code: 'ECONNRESET' } });
  });
});
