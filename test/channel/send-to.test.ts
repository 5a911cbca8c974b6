import {
  type Observable,
  firstValueFrom,
  lastValueFrom,
  map,
  NEVER,
  of,
  range,
  Subject,
  throwError,
  toArray,
} from 'rxjs';
import { type Connection, Flow, sendTo } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { places } from '../support/transport/places.js';
import { pairAt } from '../support/connection/connected-pairs.js';
import { Recording } from '../support/recording/record.js';
import { SourceFlow } from '../support/flow/source-flow.js';
import { turns, until } from '../support/scheduling/event-loop.js';

const everywhere = places.map((place) => [place.name, place] as const);

const received = async (connection: Connection<string, string>): Promise<string[]> =>
  firstValueFrom(connection.data.pipe(toArray()));

describe.each(everywhere)('sendTo on %s', (_name, place) => {
  const pair = () => pairAt<string, string>(place, { codec: lines() });

  it('C5: sendTo sends the values of a Flow, completes when everything is flushed, and sends no FIN', async () => {
    const { near, far } = await pair();
    const source = SourceFlow.ending('a', 'b', 'c');
    const recording = new Recording(source.pipe(sendTo(near.data)));
    expect(await recording.end()).toBe('complete');
    expect(recording.values).toEqual([]);
    expect(near.data.bufferedBytes).toBe(0);
    expect(near.data.closed).toBe(false);
    near.data.next('d');
    near.data.complete();
    expect(await received(far)).toEqual(['a', 'b', 'c', 'd']);
    far.data.complete();
  });

  it('F6: sendTo takes any Observable, and returns a Flow only if sendTo is applied to a Flow', async () => {
    const { near, far } = await pair();
    const derived = of('x', 'y').pipe(sendTo(near.data));
    expect(derived).not.toBeInstanceOf(Flow);
    expect(await new Recording(derived).end()).toBe('complete');
    near.data.complete();
    expect(await received(far)).toEqual(['x', 'y']);
    far.data.complete();
  });

  it('F6: if sendTo is applied to a Flow, holding the Flow that sendTo returns holds the origin', async () => {
    const { near, far } = await pair();
    const source = new SourceFlow('a');
    const derived = source.pipe(sendTo(near.data));
    expect(derived).toBeInstanceOf(Flow);
    const hold = derived.hold();
    expect(source.held).toBe(true);
    const recording = new Recording(derived);
    source.push('b');
    await turns();
    expect(source.waiting).toEqual(['a', 'b']);
    hold.release();
    expect(source.waiting).toEqual([]);
    recording.subscription.unsubscribe();
    near.data.complete();
    expect(await received(far)).toEqual(['a', 'b']);
    far.data.complete();
  });

  it('F6: sendTo holds the origin while the channel is not writable', async () => {
    const { near, far } = await pair();
    const line = 'x'.repeat(60_000);
    const source = new SourceFlow<string>();
    for (let count = 0; count < 300; count++) source.push(line);
    source.complete();
    const recording = new Recording(source.pipe(sendTo(near.data)));
    await until(() => source.held);
    await turns();
    expect(source.waiting.length).toBeGreaterThan(100);
    expect(near.data.bufferedBytes).toBeLessThanOrEqual(65_536 + 2 * 60_001);
    const reading = received(far);
    expect(await recording.end()).toBe('complete');
    expect(source.held).toBe(false);
    near.data.complete();
    expect((await reading).every((got) => got === line)).toBe(true);
    expect(await reading).toHaveLength(300);
    far.data.complete();
  });

  it('C8: if the source fails, sendTo fails with the error of the source, and the connection fails with ERR_HANDLER', async () => {
    const sources: Observable<string>[] = [SourceFlow.failing('bad', 'a'), throwError(() => new Error('bad'))];
    for (const failing of sources) {
      const { near, far } = await pair();
      const ended = received(far).catch(() => 'aborted');
      const reason = await new Recording(failing.pipe(sendTo(near.data))).end();
      expect(String(reason)).toMatch(/bad$/);
      expect(await firstValueFrom(near.closed)).toMatchObject({
        reason: 'failed',
        error: { code: 'ERR_HANDLER', cause: reason },
      });
      await ended;
    }
  });

  it('C5: unsubscribing from sendTo stops and releases the source, and leaves the channel open', async () => {
    const { near, far } = await pair();
    const source = new SourceFlow('a');
    const recording = new Recording(source.pipe(sendTo(near.data)));
    source.push();
    recording.subscription.unsubscribe();
    expect(source.held).toBe(false);
    expect(source.subscribed).toBe(false);
    source.push('left');
    expect(source.waiting).toEqual(['left']);
    near.data.complete();
    expect(await received(far)).toEqual(['a']);
    far.data.complete();
  });

  it('C5: if the channel ends before the source, sendTo fails with ERR_CLOSED, and stops and releases the source', async () => {
    const { near, far } = await pair();
    const source = new SourceFlow('a');
    const recording = new Recording(source.pipe(sendTo(near.data)));
    source.push();
    near.data.complete();
    expect(await recording.end()).toMatchObject({ code: 'ERR_CLOSED' });
    expect(source.subscribed).toBe(false);
    expect(source.held).toBe(false);
    expect(await received(far)).toEqual(['a']);
    far.data.complete();

    const late = new SourceFlow('too late');
    expect(await new Recording(late.pipe(sendTo(near.data))).end()).toMatchObject({ code: 'ERR_CLOSED' });
    expect(late.waiting).toEqual(['too late']);
    expect(late.held).toBe(false);
  });

  it("C5: if the channel fails, sendTo fails with the channel's error", async () => {
    const { near, far } = await pair();
    const recording = new Recording(NEVER.pipe(sendTo(near.data)));
    far.data.subscribe({ error: () => undefined });
    near.destroy('enough');
    expect(await recording.end()).toMatchObject({ code: 'ERR_CLOSED', cause: 'enough' });
    await firstValueFrom(near.closed);
    far.destroy();
  });

  it.each<[string, (bad: string) => Parameters<Connection<string, string>['data']['sendFrom']>[0]]>([
    ['an iterable', endless],
    ['an Observable', (bad) => range(0, Infinity).pipe(map(() => bad))],
  ])('C5: if a value ends the channel, sendFrom stops %s that never ends', async (_what, make) => {
    const { near, far } = await pair();
    far.data.subscribe({ error: () => undefined });
    const sending = lastValueFrom(near.data.sendFrom(make('a line\nwith a line end')), { defaultValue: 'complete' });
    await expect(sending).rejects.toMatchObject({ code: 'ERR_FRAME_INVALID' });
    far.destroy();
  });

  it('C5: a plain Observable that emits more than maxBuffered causes an overflow', async () => {
    const { near, far } = await pairAt<string, string>(place, { codec: lines(), maxBuffered: 100_000 });
    far.data.subscribe({ error: () => undefined });
    const hold = far.data.hold();
    const sending = new Recording(
      range(0, Infinity).pipe(
        map(() => 'x'.repeat(50_000)),
        sendTo(near.data),
      ),
    );
    expect(await sending.end()).toMatchObject({ code: 'ERR_OVERFLOW' });
    hold.release();
    far.destroy();
  });

  it('C5: several sources can be sent to one channel', async () => {
    const { near, far } = await pair();
    const subject = new Subject<string>();
    const one = new Recording(subject.pipe(sendTo(near.data)));
    const other = new Recording(SourceFlow.ending('flow').pipe(sendTo(near.data)));
    expect(await other.end()).toBe('complete');
    subject.next('subject');
    subject.complete();
    expect(await one.end()).toBe('complete');
    near.data.complete();
    expect(await received(far)).toEqual(['flow', 'subject']);
    far.data.complete();
  });
});

function* endless(value: string): Iterable<string> {
  for (;;) yield value;
}
