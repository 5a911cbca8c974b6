import '../support/leaks.js';
import { concatMap, filter, firstValueFrom, map, of } from 'rxjs';
import { concatMapPaced, connect, Flow, requests } from 'rxjs-sockets';
import { jsonLines, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { type Place, places } from '../support/transport/places.js';
import { pairAt, serverAt } from '../support/connection/connected-pairs.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';

interface Message {
  readonly id?: number;
  readonly event?: number;
  readonly more?: string;
}

/** A connection whose peer sends events, and answers requests by their ids. */
async function conversation(place: Place, options: { timeout?: number; maxLength?: number } = {}) {
  const { maxLength = 65_536, ...others } = options;
  const { near, far } = await pairAt<Message, Message>(place, {
    codec: jsonLines<Message>({ maxLength }),
    maxBuffered: 2 ** 26,
  });
  const asked = requests(near.data, { answers: ({ id }: Message) => id, ...others });
  const emit = (from: number, to: number, more?: string): void => {
    for (let event = from; event < to; event++) far.data.next(more === undefined ? { event } : { event, more });
  };
  return { near, far, asked, emit };
}

const numbers = (from: number, to: number): Message[] =>
  Array.from({ length: to - from }, (_, index) => ({ event: from + index }));

describe.each(places)('the events of requests, over $name', (place) => {
  it('K21: a message that is not an answer is an event, whether requests are pending or not', async () => {
    const { far, asked, emit } = await conversation(place);
    const [first, second] = [record(asked.events), record(asked.events)];
    emit(0, 2);
    await first.count(2);
    const answer = asked.ask({ id: 1 }, 1);
    await firstValueFrom(far.data);
    emit(2, 4);
    far.data.next({ id: 1 });
    emit(4, 6);
    expect(await answer).toEqual({ id: 1 });
    expect(await first.count(6)).toEqual(numbers(0, 6));
    expect(second.values).toEqual(first.values);
  });

  it('K21: held events make the peer wait while no request is pending', async () => {
    const { near, far, asked } = await conversation(place, { maxLength: 2 ** 20 });
    expect(asked.events).toBeInstanceOf(Flow);
    const events = record(asked.events);
    const hold = asked.events.hold();
    for (let event = 0; event < 40; event++) far.data.next({ event, more: 'x'.repeat(500_000) });
    await until(() => near.stats.bytesRead > 0);
    await turns(200);
    expect(near.stats.bytesRead).toBeLessThan(5_000_000);
    expect(far.data.bufferedBytes).toBeGreaterThan(0);
    expect(events.values).toEqual([]);
    hold.release();
    expect((await events.count(40)).map(({ event }) => event)).toEqual(numbers(0, 40).map(({ event }) => event));
  });

  it('K21: a loop over events takes one event at a time, and a request in the loop body is answered', async () => {
    const { far, asked, emit } = await conversation(place);
    record(far.data, ({ id }) => {
      emit(100 * id! + 1, 100 * id! + 4);
      far.data.next({ id: id! });
    });
    emit(0, 3);
    const seen: unknown[] = [];
    for await (const { event } of asked.events) {
      seen.push(event);
      if (event! < 3) seen.push(await asked.ask({ id: event! + 1 }, event! + 1));
      if (event === 303) break;
    }
    expect(seen.filter((one) => typeof one === 'object')).toEqual([{ id: 1 }, { id: 2 }, { id: 3 }]);
    const events = seen.filter((one) => typeof one === 'number');
    expect(events).toEqual([0, 1, 2, 101, 102, 103, 201, 202, 203, 301, 302, 303]);
  });

  it('K21: paced operators work on events', async () => {
    const { asked, emit } = await conversation(place);
    const slow = asked.events.pipe(
      concatMapPaced(({ event }) => turns(2).then(() => event)),
      filter((event) => event !== undefined),
    );
    const seen = record(slow);
    emit(0, 50);
    expect(await seen.count(50)).toEqual(numbers(0, 50).map(({ event }) => event));
  });

  it('K21: an answer overtakes held events, which stay in order', async () => {
    const { near, far, asked, emit } = await conversation(place);
    const events = record(asked.events);
    const hold = asked.events.hold();
    emit(0, 400);
    await until(() => near.stats.bytesRead > 0);
    const answer = asked.ask({ id: 1 }, 1);
    await firstValueFrom(far.data);
    emit(400, 1_000);
    far.data.next({ id: 1 });
    emit(1_000, 1_010);
    expect(await answer).toEqual({ id: 1 });
    expect(events.values).toEqual([]);
    hold.release();
    expect(await events.count(1_010)).toEqual(numbers(0, 1_010));
  });

  it('K21: if `events` has no subscriber, answers arrive, and the events before the answers are dropped', async () => {
    const { far, asked, emit } = await conversation(place);
    const answer = asked.ask({ id: 1 }, 1);
    await firstValueFrom(far.data);
    emit(0, 2_000);
    far.data.next({ id: 1 });
    emit(2_000, 2_003);
    expect(await answer).toEqual({ id: 1 });
    // Events after the last answer wait for a subscriber, as in every channel.
    expect(await record(asked.events).count(3)).toEqual(numbers(2_000, 2_003));
  });

  it('K21: if held events fill the buffer, an answer after these events waits until the events are read', async () => {
    const { near, far, asked, emit } = await conversation(place);
    const events = record(asked.events);
    const hold = asked.events.hold();
    const answer = asked.ask({ id: 1 }, 1);
    await firstValueFrom(far.data);
    emit(0, 200_000);
    far.data.next({ id: 1 });
    await until(() => near.stats.bytesRead > 50_000);
    await turns(200);
    expect(near.stats.bytesRead).toBeLessThan(1_000_000);
    expect(asked.pending).toBe(1);
    hold.release();
    expect(await answer).toEqual({ id: 1 });
    expect((await events.count(200_000)).at(-1)).toEqual({ event: 199_999 });
    expect(events.values.every(({ event }, index) => event === index)).toBe(true);
  });

  it('K21: a request times out if held events are not read, and no event is lost', async () => {
    const { far, asked, emit } = await conversation(place, { timeout: 50 });
    const events = record(asked.events);
    const hold = asked.events.hold();
    const answer = asked.ask({ id: 1 }, 1);
    await firstValueFrom(far.data);
    emit(0, 2_000);
    far.data.next({ id: 1 });
    await expect(answer).rejects.toMatchObject({
      code: 'ERR_TIMEOUT_REQUEST',
      message: expect.stringContaining('events'),
    });
    hold.release();
    expect(await events.count(2_000)).toEqual(numbers(0, 2_000));
  });

  it('K21: at most a mebibyte of held events is buffered', async () => {
    const { near, far, asked, emit } = await conversation(place);
    record(asked.events);
    const hold = asked.events.hold();
    const answer = asked.ask({ id: 1 }, 1);
    await firstValueFrom(far.data);
    emit(0, 200, 'x'.repeat(50_000));
    await until(() => near.stats.bytesRead > 1_000_000);
    await turns(200);
    expect(near.stats.bytesRead).toBeLessThan(2_000_000);
    near.destroy();
    await expect(answer).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    hold.release();
  });

  it('K21: without a timeout, too many held events end the connection', async () => {
    const { near, far, asked, emit } = await conversation(place, { timeout: 0 });
    const events = record(asked.events);
    const hold = asked.events.hold();
    const answer = asked.ask({ id: 1 }, 1);
    await firstValueFrom(far.data);
    emit(0, 2_000);
    await expect(answer).rejects.toMatchObject({ code: 'ERR_OVERFLOW', message: expect.stringContaining('events') });
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed', error: { code: 'ERR_OVERFLOW' } });
    hold.release();
    expect(await events.end()).toMatchObject({ code: 'ERR_OVERFLOW' });
    expect(events.values).toEqual(numbers(0, events.values.length));
    expect(events.values.length).toBeGreaterThanOrEqual(1_024);
  });

  it('K21: `events` ends after the buffered events, in the way in which the channel ends', async () => {
    const { far, asked, emit } = await conversation(place);
    const events = record(asked.events);
    const hold = asked.events.hold();
    const answer = asked.ask({ id: 1 }, 1);
    await firstValueFrom(far.data);
    emit(0, 3);
    far.data.complete();
    await expect(answer).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    expect([events.values, events.endings]).toEqual([[], []]);
    hold.release();
    expect([events.values, events.endings]).toEqual([numbers(0, 3), ['complete']]);
    expect(await record(asked.events).end()).toBe('complete');
  });

  it('K21: a local destroy is reported at once, and drops buffered events (F10)', async () => {
    const { near, far, asked, emit } = await conversation(place);
    const events = record(asked.events);
    const hold = asked.events.hold();
    asked.ask({ id: 1 }, 1).catch(() => undefined);
    await firstValueFrom(far.data);
    emit(0, 3);
    await until(() => near.stats.bytesRead > 20);
    near.destroy();
    expect([events.values, events.endings]).toEqual([[], [expect.objectContaining({ code: 'ERR_CLOSED' })]]);
    hold.release();
  });

  it('K21: events that a subscriber leaves unread wait for the next subscriber (F1)', async () => {
    const { far, asked, emit } = await conversation(place);
    const first = record(asked.events);
    const hold = asked.events.hold();
    const answer = asked.ask({ id: 1 }, 1);
    await firstValueFrom(far.data);
    emit(0, 3);
    far.data.next({ id: 1 });
    await answer;
    first.subscription.unsubscribe();
    hold.release();
    expect(first.values).toEqual([]);
    for (const event of [0, 1, 2]) expect(await firstValueFrom(asked.events)).toEqual({ event });
    emit(3, 4);
    expect(await firstValueFrom(asked.events)).toEqual({ event: 3 });
  });

  it('K21: events keep their order even if the subscriber asks or unsubscribes while it handles an event', async () => {
    const { far, asked, emit } = await conversation(place);
    record(far.data, ({ id, event }) => far.data.next(id === undefined ? { event: 10 * event! } : { id }));
    const answers: unknown[] = [];
    const events = record(asked.events.pipe(map(({ event }) => event!)), (event) => {
      if (event < 10) asked.ask({ id: event }, event).then((answer) => answers.push(answer), String);
      if (event === 2) events.subscription.unsubscribe();
    });
    emit(0, 4);
    await until(() => answers.length === 3);
    expect(events.values).toEqual([0, 1, 2]);
    expect(answers).toEqual([{ id: 0 }, { id: 1 }, { id: 2 }]);
  });
});

describe.each(places)('the events of requests in order, over $name', (place) => {
  it('K21: without ids, a message received while no request is pending is an event', async () => {
    const { near, far } = await pairAt(place, { codec: lines() });
    const asked = requests(near.data);
    const events = record(asked.events);
    record(far.data.pipe(concatMap((line) => of(`${line}!`, 'and news'))), (line) => far.data.next(line));
    expect(await asked.ask('one')).toBe('one!');
    expect(await events.count(1)).toEqual(['and news']);
  });

  it('K21: without ids, a message received before a request is an event, even if events were held', async () => {
    const { near, far } = await pairAt(place, { codec: lines() });
    const asked = requests(near.data);
    const events = record(asked.events);
    const hold = asked.events.hold();
    far.data.next('early');
    far.data.next('news');
    await until(() => near.stats.bytesRead === 11);
    const answer = asked.ask('one');
    await firstValueFrom(far.data);
    far.data.next('1');
    expect(await answer).toBe('1');
    hold.release();
    expect(events.values).toEqual(['early', 'news']);
  });

  it('K21: a new subscription to events after the end of a client dials again', async () => {
    let count = 0;
    const { address } = await serverAt<string, string>(
      place,
      ({ data }) => {
        data.next(`welcome ${++count}`);
        data.complete();
        record(data);
      },
      { codec: lines() },
    );
    const asked = requests(connect(address, { ...place.options, codec: lines() }).data);
    for (const welcome of ['welcome 1', 'welcome 2']) {
      const events = record(asked.events);
      expect(await events.end()).toBe('complete');
      expect(events.values).toEqual([welcome]);
    }
  });
});
