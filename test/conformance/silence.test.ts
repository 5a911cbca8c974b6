import { firstValueFrom } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { connect, type Connection, listen, type SocketError } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { memoryTransport } from 'rxjs-sockets/testing';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import '../support/leaks.js';
import { ends } from '../support/connection/connected-pairs.js';
import { record } from '../support/recording/record.js';
import { scripted } from '../support/transport/scripted-transport.js';
import { turns } from '../support/scheduling/event-loop.js';

const codec = lines();

describe.each(ends)('a silent peer, $name', ({ place, pair }) => {
  it("C7: halfOpenTimeout ends the connection with ERR_TIMEOUT_HALF_OPEN if nothing is written after the peer's FIN", async () => {
    const { near, far } = await pair({ halfOpen: true, halfOpenTimeout: 20 });
    const [here, there] = [record(near.data), record(far.data)];
    far.data.complete();
    expect(await here.end()).toBe('complete');
    expect(await firstValueFrom(near.closed)).toMatchObject({
      reason: 'failed',
      error: { code: 'ERR_TIMEOUT_HALF_OPEN' },
    });
    // A unix socket has no reset, so only a TCP peer is certain to see an error.
    if (place.name === 'tcp') expect(await there.end()).toMatchObject({ code: 'ECONNRESET' });
    else await there.end();
  });

  it("C7: halfOpenTimeout runs neither before the peer's FIN nor after both sides have ended", async () => {
    const { near, far } = await pair({ halfOpen: true, halfOpenTimeout: 1 });
    const other = await pair({ halfOpen: true, halfOpenTimeout: 1 });
    const recording = record(other.near.data);
    other.far.data.complete();
    await recording.end();
    await firstValueFrom(other.near.closed);
    // The timer of the other connection has fired, so a timer of this connection would have fired by now.
    expect(near.data.closed).toBe(false);
    near.data.complete();
    far.data.complete();
    for (const { closed } of [near, far]) expect(await firstValueFrom(closed)).toMatchObject({ reason: 'finished' });
  });
});

describe('a silent peer, in virtual time', () => {
  it('C7: halfOpenTimeout counts from the last write', () => {
    const scheduler = new TestScheduler(() => undefined);
    const events: string[] = [];
    scheduler.run(() => {
      const transport = memoryTransport();
      const note = (what: string): void => void events.push(`${scheduler.now()} ${what}`);
      let accepted: Connection<string, string> | undefined;
      const server = listen<string, string>('memory:m', { transport, codec, halfOpenTimeout: 100 });
      const serving = server.subscribe((connection) => {
        accepted = connection;
        connection.data.subscribe({ complete: () => note('FIN') });
        connection.closed.subscribe(({ reason, error }) => note(`${reason} ${error?.code}`));
      });
      const client = connect<string, string>('memory:m', { transport, codec, halfOpen: true });
      client.data.subscribe({ next: note, error: (error: unknown) => note(`client ${(error as SocketError).code}`) });
      scheduler.schedule(() => client.data.complete(), 10);
      scheduler.schedule(() => accepted?.data.next('one'), 60);
      scheduler.schedule(() => accepted?.data.next('two'), 150);
      scheduler.schedule(() => accepted?.data.next('too late'), 260);
      scheduler.schedule(() => serving.unsubscribe(), 300);
    });
    expect(events).toEqual([
      '10 FIN',
      '60 one',
      '150 two',
      '250 failed ERR_TIMEOUT_HALF_OPEN',
      '250 client ECONNRESET',
    ]);
  });
});

describe('a silent peer, with a scripted kernel', () => {
  it.each([
    ['halfOpenTimeout', 'ERR_TIMEOUT_HALF_OPEN'],
    ['idleTimeout', 'ERR_TIMEOUT_IDLE'],
  ])('C7: %s does not expire while the kernel takes a large write bit by bit', async (option, code) => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] });
    onTestFinished(() => void vi.useRealTimers());
    const { near, socket } = await scripted({ halfOpen: true, [option]: 100 });
    const recording = record(near.closed);
    socket.eager = false;
    socket.finish();
    near.data.next(Buffer.alloc(1_000));
    await turns(1);
    for (let taken = 1; taken < 10; taken++) {
      vi.advanceTimersByTime(99);
      socket.take(1);
    }
    vi.advanceTimersByTime(99);
    expect(near.data.closed).toBe(false);
    vi.advanceTimersByTime(102);
    expect(near.data.closed).toBe(true);
    await recording.end();
    expect(recording.values).toMatchObject([{ reason: 'failed', error: { code }, bytesWritten: 9 }]);
  });
});
