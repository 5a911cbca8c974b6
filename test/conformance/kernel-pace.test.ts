import { firstValueFrom, map, range } from 'rxjs';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { countedSource } from '../support/flow/counted-source.js';
import '../support/leaks.js';
import { record } from '../support/recording/record.js';
import { scripted } from '../support/transport/scripted-transport.js';
import { turns, until } from '../support/scheduling/event-loop.js';

const ten = 'x'.repeat(10);

describe('sendFrom and send, with a scripted kernel', () => {
  it('C5: an async iterable is pulled only while the channel is writable', async () => {
    const { near, socket } = await scripted({ highWaterMark: 100 });
    socket.eager = false;
    const { counts, source } = countedSource(ten);
    const subscription = near.data.sendFrom(source).subscribe();
    for (let round = 1; round <= 3; round++) {
      await turns();
      expect([near.data.bufferedBytes, counts.pulled]).toEqual([110, 11 * round]);
      while (near.data.bufferedBytes > 110 - 60) socket.take(10);
      expect([near.data.bufferedBytes, counts.pulled]).toEqual([50, 11 * round]);
      socket.take();
    }
    await turns();
    subscription.unsubscribe();
    await until(() => counts.stopped === 1);
    const after = counts.pulled;
    for (let index = 0; index < 5; index++) {
      if (socket.unsent > 0) socket.take();
      await turns(3);
    }
    expect(counts.pulled).toBe(after);
    expect(near.data.closed).toBe(false);
  });

  it('C5: an iterable is pulled until the channel is no longer writable, and no further', async () => {
    const { near, socket } = await scripted({ highWaterMark: 100 });
    socket.eager = false;
    let pulled = 0;
    const source = {
      *[Symbol.iterator](): Generator<string> {
        for (;;) {
          pulled++;
          yield ten;
        }
      },
    };
    const subscription = near.data.sendFrom(source).subscribe();
    expect([pulled, near.data.bufferedBytes]).toEqual([11, 110]);
    await turns();
    expect(pulled).toBe(11);
    socket.take(59);
    await turns();
    expect(pulled).toBe(11);
    socket.take(51);
    expect([pulled, near.data.bufferedBytes]).toEqual([22, 110]);
    subscription.unsubscribe();
  });

  it.each([1_048_576, 1_000])('C5: other code runs even if a source is fast; maxBuffered: %d', async (maxBuffered) => {
    const { near } = await scripted({ maxBuffered });
    const most = 3_000_000;
    const source = function* (): Generator<string> {
      for (let pulled = 0; pulled < most && turnsGone < 10; pulled++) yield ten;
      if (turnsGone < 10) throw new Error('nobody else has had a turn');
    };
    let turnsGone = 0;
    const go = (): void => {
      if (++turnsGone < 10) setImmediate(go);
    };
    setImmediate(go);
    expect(await record(near.data.sendFrom(source())).end()).toBe('complete');
    turnsGone = 0;
    setImmediate(go);
    for (let sent = 0; turnsGone < 10; sent++) {
      if (sent === most) expect.unreachable('nobody else has had a turn');
      await near.data.send(ten);
    }
  });

  it('C5: sendFrom completes when the kernel has taken everything, and sends no FIN', async () => {
    const { near, socket } = await scripted();
    socket.eager = false;
    const sending = record(near.data.sendFrom(['a', 'b']));
    await turns();
    near.data.next('not part of it');
    expect(sending.endings).toEqual([]);
    socket.take(1);
    await turns();
    expect(sending.endings).toEqual([]);
    socket.take(1);
    expect(sending.endings).toEqual(['complete']);
    expect([near.data.closed, socket.ended]).toEqual([false, false]);
  });

  it('C5: sendFrom with an empty source completes when nothing is queued', async () => {
    const { near, socket } = await scripted();
    expect(record(near.data.sendFrom([])).endings).toEqual(['complete']);
    socket.eager = false;
    near.data.next('waits');
    const sending = record(near.data.sendFrom([]));
    await turns();
    expect(sending.endings).toEqual([]);
    socket.take();
    expect(sending.endings).toEqual(['complete']);
  });

  it("C5: if the channel fails while sendFrom flushes, sendFrom fails with the channel's error", async () => {
    const { near, socket } = await scripted();
    socket.eager = false;
    const sending = record(near.data.sendFrom(['a', 'b']));
    await turns();
    near.destroy('enough');
    expect(sending.endings).toMatchObject([{ code: 'ERR_CLOSED', cause: 'enough' }]);
  });

  it('C5: if complete() is called while sendFrom flushes, no value is lost', async () => {
    const { near, socket } = await scripted();
    socket.eager = false;
    const sending = record(near.data.sendFrom(['a', 'b']));
    await turns();
    near.data.complete();
    expect(sending.endings).toEqual([]);
    socket.take();
    expect([sending.endings, socket.ended]).toEqual([['complete'], true]);
  });

  it('C5: `send` resolves immediately if the channel is writable, otherwise when the channel is writable again', async () => {
    const { near, socket } = await scripted({ highWaterMark: 100 });
    socket.eager = false;
    await near.data.send('x'.repeat(100));
    const settled: string[] = [];
    const first = near.data.send('over the mark').then(() => settled.push('first'));
    const second = near.data.send('more').then(() => settled.push('second'));
    await turns();
    expect(settled).toEqual([]);
    socket.take(67);
    await turns();
    expect(settled, '50 bytes are left, but not yet asked for').toEqual([]);
    socket.take();
    await Promise.all([first, second]);
    expect(settled).toEqual(['first', 'second']);
  });

  it('C5: `send` waits until the channel is writable, even after the kernel has taken the value of this `send`', async () => {
    const { near, socket } = await scripted({ highWaterMark: 100 });
    socket.eager = false;
    let settled = false;
    const sending = near.data.send('x'.repeat(101)).then(() => {
      settled = true;
    });
    await turns(1);
    near.data.next('y'.repeat(101));
    socket.take();
    await turns();
    expect(near.data.bufferedBytes).toBe(101);
    expect(settled).toBe(false);
    socket.take();
    await sending;
    expect(near.data.bufferedBytes).toBe(0);
  });

  it('C5: when the channel fails, `send` resolves if its value was written, and rejects if its value was not written', async () => {
    const { near, socket } = await scripted({ highWaterMark: 10, maxBuffered: 1_000 });
    socket.eager = false;
    const sends = [near.data.send('x'.repeat(20)), near.data.send('y'.repeat(20)), near.data.send('z'.repeat(20))];
    const settled = Promise.allSettled(sends);
    await turns();
    socket.take(40);
    near.destroy('reason');
    expect(await settled).toMatchObject([
      { status: 'fulfilled' },
      { status: 'fulfilled' },
      { status: 'rejected', reason: { code: 'ERR_CLOSED', cause: 'reason' } },
    ]);
  });

  it('C5: a pending `send` resolves when complete() flushes its value', async () => {
    const { near, socket } = await scripted({ highWaterMark: 10 });
    socket.eager = false;
    const sending = near.data.send('x'.repeat(20));
    near.data.complete();
    await turns();
    socket.take();
    await sending;
  });

  it("C5: a `send` that overflows rejects with ERR_OVERFLOW, with overflow 'error' and with 'drop'", async () => {
    const dropping = await scripted({ maxBuffered: 100, overflow: 'drop' });
    dropping.socket.eager = false;
    void dropping.near.data.send('x'.repeat(100));
    await turns(1);
    await expect(dropping.near.data.send('x')).rejects.toMatchObject({ code: 'ERR_OVERFLOW' });
    expect([dropping.near.data.dropped, dropping.near.data.closed]).toEqual([1, false]);

    const failing = await scripted({ maxBuffered: 100, highWaterMark: 10 });
    failing.socket.eager = false;
    const waiting = failing.near.data.send('x'.repeat(100));
    await turns(1);
    const refused = failing.near.data.send('x');
    await expect(refused).rejects.toMatchObject({ code: 'ERR_OVERFLOW' });
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_OVERFLOW' });
    expect(failing.near.data.closed).toBe(true);
  });

  it("C5: sendFrom passes a plain Observable's values to `next`, so overflow applies", async () => {
    const { near, socket } = await scripted({ maxBuffered: 100 });
    socket.eager = false;
    near.data.next(ten);
    await turns(1);
    const sending = record(near.data.sendFrom(range(0, 1_000).pipe(map(() => ten))));
    expect(sending.endings).toMatchObject([{ code: 'ERR_OVERFLOW' }]);
    expect(await firstValueFrom(near.closed)).toMatchObject({ error: { code: 'ERR_OVERFLOW' } });
  });
});

describe('sending while a chunk is delivered', () => {
  it.each([
    [32_700, [32_700]],
    [48_000, [33_000, 15_000]],
  ])('C3: %i bytes are flushed whenever over 32,768 are queued, and when the delivery ends', async (total, sizes) => {
    const { near, socket } = await scripted({ codec: lines() });
    near.data.subscribe({
      next: (line) => near.data.next(line.toUpperCase()),
      // The end of the test aborts the connection.
      error: () => undefined,
    });
    await turns();
    socket.receive(`${'x'.repeat(299)}\n`.repeat(total / 300));
    expect(socket.writes.map((write) => write.length)).toEqual(sizes);
    expect(Buffer.concat(socket.writes).toString()).toBe(`${'X'.repeat(299)}\n`.repeat(total / 300));
  });
});
