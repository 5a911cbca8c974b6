import '../../support/leaks.js';
import { filter, map } from 'rxjs';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { pair } from '../../support/transport/memory/memory-network.js';
import { record } from '../../support/recording/record.js';
import { turns } from '../../support/scheduling/event-loop.js';

describe('the examples of Flow show how to', () => {
  it('hold for a second', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const { connection, peer } = await pair();
    const flow = connection.data;
    const received = record(flow);
    const hold = flow.hold();
    setTimeout(() => hold.release(), 1_000); // a pause of a second, which the sender feels
    peer.data.next('waits');
    await turns();
    vi.advanceTimersByTime(999);
    expect(received.values).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(received.values).toEqual(['waits']);
  });

  it('hold and release', async () => {
    const { connection, peer } = await pair();
    const flow = connection.data;
    const received = record(flow);
    const hold = flow.hold();
    hold.release();
    peer.data.next('passes');
    expect(await received.count(1)).toEqual(['passes']);
  });

  it('iterate at the pace of the loop', async () => {
    const { connection, peer } = await pair();
    const stored: string[] = [];
    const store = async (line: string): Promise<void> => {
      await turns();
      stored.push(line);
    };
    for (const line of ['one', 'two', 'three']) peer.data.next(line);
    peer.data.complete();
    for await (const line of connection.data) await store(line);
    expect(stored).toEqual(['one', 'two', 'three']);
  });

  it('echo by subscribing a channel to itself', async () => {
    const { connection, peer } = await pair();
    const echo = record(peer.data);
    connection.data.subscribe(connection.data); // an echo at the peer's pace
    peer.data.next('hello');
    peer.data.complete();
    expect(await echo.end()).toBe('complete');
    expect(echo.values).toEqual(['hello']);
  });

  it('pipe and iterate', async () => {
    const { connection, peer } = await pair();
    let total = 0;
    for (const line of ['1', 'x', '20']) peer.data.next(line);
    peer.data.complete();
    const numbers = connection.data.pipe(
      map((line) => Number(line)),
      filter((number) => Number.isFinite(number)),
    );
    for await (const number of numbers) total += number;
    expect(total).toBe(21);
  });
});

describe('the examples of Hold show how to', () => {
  it('release a Hold even after a failure', async () => {
    const { connection, peer } = await pair();
    const flow = connection.data;
    const received = record(flow);
    const backup = async (): Promise<void> => {
      peer.data.next('waits');
      await turns();
      expect(received.values).toEqual([]);
    };
    const hold = flow.hold();
    try {
      await backup();
    } finally {
      hold.release();
    }
    expect(received.values).toEqual(['waits']);
  });

  it('release a Hold twice', async () => {
    const { connection, peer } = await pair();
    const received = record(connection.data);
    const hold = connection.data.hold();
    const other = connection.data.hold();
    hold.release();
    hold.release(); // does nothing
    peer.data.next('waits');
    await turns();
    expect(received.values).toEqual([]);
    other.release();
    expect(received.values).toEqual(['waits']);
  });

  it('hold a Flow for a block', async () => {
    const { connection, peer } = await pair();
    const flow = connection.data;
    const received = record(flow);
    const backup = async (): Promise<void> => {
      peer.data.next('waits');
      await turns();
      expect(received.values).toEqual([]);
    };
    {
      using _hold = flow.hold(); // until the end of the block
      await backup();
    }
    expect(received.values).toEqual(['waits']);
  });
});
