import { concatMap, firstValueFrom, from, map, NEVER, of } from 'rxjs';
import { concatMapPaced, mergeMapPaced, sendTo } from 'rxjs-sockets';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { peerAt } from '../support/sockets/peer.js';
import { settled } from '../support/scheduling/event-loop.js';
import { allPlaces } from '../support/transport/places.js';
import { until } from '../support/scheduling/event-loop.js';
import { type Handler, serving, Gate } from '../support/server/drained-server.js';

type Form = readonly [name: string, handler: (gate: Gate) => Handler, atOnce: number];

/** `atOnce` is how many lines the handler processes at the same time. */
const forms: readonly Form[] = [
  [
    'an Observable through concatMap',
    ({ answer }) =>
      ({ data }) =>
        from(data).pipe(concatMap(answer)),
    1,
  ],
  [
    'a Flow through concatMapPaced',
    ({ answer }) =>
      ({ data }) =>
        data.pipe(concatMapPaced(answer)),
    1,
  ],
  [
    'a Flow through mergeMapPaced',
    ({ answer }) =>
      ({ data }) =>
        data.pipe(mergeMapPaced(answer, 2)),
    2,
  ],
  [
    'an async generator',
    ({ answer }) =>
      async function* ({ data }) {
        for await (const question of data) yield await answer(question);
      },
    1,
  ],
  [
    'an async function that calls `send`',
    ({ answer }) =>
      async ({ data }) => {
        for await (const question of data) await data.send(await answer(question));
      },
    1,
  ],
  [
    'an async function that returns one answer',
    ({ answer }) =>
      async ({ data }) => {
        const answers: string[] = [];
        for await (const question of data) answers.push(await answer(question));
        return answers.join('\n').split('\n').join(', ');
      },
    1,
  ],
  [
    'sendFrom',
    ({ answer }) =>
      ({ data }) => {
        data.sendFrom(data.pipe(concatMapPaced(answer))).subscribe();
      },
    1,
  ],
  [
    'sendTo',
    ({ answer }) =>
      ({ data }) => {
        data.pipe(concatMapPaced(answer), sendTo(data)).subscribe();
      },
    1,
  ],
  [
    'a Flow sent by `flow.subscribe(channel)`',
    ({ answer }) =>
      ({ data }) => {
        data.pipe(concatMapPaced(answer)).subscribe(data);
      },
    1,
  ],
];

describe.each(allPlaces.map((place) => [place.name, place] as const))('a drain on %s', (_name, place) => {
  it.each(forms)(
    'S7: %s answers all requests that were received before the shutdown began',
    async (kind, handler, atOnce) => {
      const gate = new Gate();
      const { server, address, outcomes, incidents } = await serving(place, handler(gate));
      const peer = await peerAt(place, address);
      peer.write('one\ntwo\nthree\n');
      await until(() => gate.begun === atOnce);
      let isOver = false;
      const shutdown = server.shutdown().then(() => {
        isOver = true;
      });
      await settled();
      expect(isOver).toBe(false);
      gate.release();
      const answers = ['one', 'two', 'three'].map((question) => `answer to ${question}`);
      await peer.receives(kind.includes('one answer') ? `${answers.join(', ')}\n` : `${answers.join('\n')}\n`);
      expect(await peer.ended).toBe('fin');
      peer.end();
      await shutdown;
      expect(outcomes.values).toMatchObject([{ reason: 'finished' }]);
      expect(outcomes.endings).toEqual(['complete']);
      expect(incidents.values).toEqual([]);
    },
  );

  it.each<[string, Handler]>([
    ['an echo', ({ data }) => data],
    ['an echo by subscription', ({ data }) => void data.subscribe(data)],
    ['a mapped Flow', ({ data }) => data.pipe(map((line) => line))],
    ['concatMapPaced', ({ data }) => data.pipe(concatMapPaced((line) => of(line)))],
    [
      'an async generator',
      async function* ({ data }) {
        for await (const line of data) yield line;
      },
    ],
    [
      'an async function',
      async ({ data }) => {
        for await (const line of data) await data.send(line);
      },
    ],
    ['a plain subscriber', ({ data }) => void data.subscribe((line) => data.next(line))],
    ['data that nobody reads', () => undefined],
  ])('S7: a shutdown closes an idle connection immediately, with or without draining: %s', async (kind, handler) => {
    for (const drain of [true, false]) {
      const { server, address, outcomes, incidents } = await serving(place, handler);
      const peer = await peerAt(place, address);
      if (!kind.includes('nobody')) {
        peer.write('hello\n');
        await peer.receives('hello\n');
      }
      await until(() => server.connections.size === 1);
      await settled();
      const shutdown = server.shutdown({ drain, deadline: 0 });
      expect(await peer.ended).toBe('fin');
      peer.end();
      await shutdown;
      expect(outcomes.values).toMatchObject([{ reason: 'finished' }]);
      expect(incidents.values).toEqual([]);
    }
  });

  it('S7: a frame that is unfinished when a shutdown begins is dropped, not delivered as a complete frame', async () => {
    const heard: string[] = [];
    let completed = false;
    const { server, address, outcomes } = await serving(place, ({ data }) => {
      data.subscribe({ next: (line) => heard.push(line), complete: () => (completed = true) });
    });
    const peer = await peerAt(place, address);
    peer.write('whole\nhal');
    await until(() => heard.length === 1);
    const shutdown = server.shutdown();
    expect(await peer.ended).toBe('fin');
    peer.write('f\nmore\n');
    peer.end();
    await shutdown;
    expect(heard).toEqual(['whole']);
    expect(completed).toBe(true);
    expect(outcomes.values).toMatchObject([{ reason: 'finished' }]);
  });

  it('S7: a body that is unfinished when a shutdown begins fails with ERR_FRAME_TRUNCATED', async () => {
    let ending: unknown;
    let size = 0;
    const { server, address, outcomes, incidents } = await serving(place, ({ bytes }) => {
      bytes
        .body(10)
        .subscribe({ next: (chunk) => (size += chunk.length), error: (error: unknown) => (ending = error) });
    });
    const peer = await peerAt(place, address);
    peer.write('12345');
    await until(() => size === 5);
    const shutdown = server.shutdown();
    await peer.ended;
    peer.end();
    await shutdown;
    expect(ending).toMatchObject({ code: 'ERR_FRAME_TRUNCATED' });
    expect(outcomes.values).toMatchObject([{ reason: 'failed', error: { code: 'ERR_FRAME_TRUNCATED' } }]);
    expect(incidents.values).toEqual([ending]);
  });

  it('S7: a body and a request that were received before the shutdown are still read', async () => {
    const gate = new Gate();
    const { server, address, outcomes } = await serving(place, async ({ bytes, data }) => {
      const head = await firstValueFrom(data);
      const parts: string[] = [];
      await gate.answer(head);
      for await (const chunk of bytes.body(4)) parts.push(chunk.toString());
      return `${head} ${parts.join('')} ${await firstValueFrom(data)}`;
    });
    const peer = await peerAt(place, address);
    peer.write('head\nbodytail\n');
    await until(() => gate.begun === 1);
    const shutdown = server.shutdown();
    gate.release();
    await peer.receives('head body tail\n');
    expect(await peer.ended).toBe('fin');
    peer.end();
    await shutdown;
    expect(outcomes.values).toMatchObject([{ reason: 'finished' }]);
  });

  it('S7: at the deadline, the connections that are still open are aborted, and `incidents` reports these aborts', async () => {
    const { server, address, outcomes, incidents } = await serving(place, ({ data }) =>
      data.pipe(concatMapPaced(() => NEVER)),
    );
    const peer = await peerAt(place, address);
    peer.write('hello\n');
    await until(() => [...server.connections].some(({ stats }) => stats.bytesRead === 6));
    await server.shutdown({ deadline: 30 });
    expect(outcomes.values).toMatchObject([{ reason: 'failed', error: { code: 'ERR_TIMEOUT_CLOSE' } }]);
    expect(incidents.values).toMatchObject([{ code: 'ERR_TIMEOUT_CLOSE' }]);
    const how = await peer.ended;
    if (!place.name.endsWith('unix')) expect(how).toBe('ECONNRESET');
  });

  it('S14: a second call of shutdown can shorten the deadline of the first call', async () => {
    const { server, address, outcomes } = await serving(place, () => NEVER);
    const peer = await peerAt(place, address);
    await until(() => server.connections.size === 1);
    const first = server.shutdown({ deadline: 0 });
    await settled();
    expect(server.connections.size).toBe(1);
    expect(server.shutdown({ deadline: 10 })).toBe(first);
    await first;
    expect(outcomes.values).toMatchObject([{ reason: 'failed', error: { code: 'ERR_TIMEOUT_CLOSE' } }]);
    await peer.ended;
  });

  it('S7: after a second call of shutdown with drain: false, the shutdown no longer waits for handlers', async () => {
    const { server, address, outcomes } = await serving(place, async () => {
      await new Promise(() => undefined);
    });
    const peer = await peerAt(place, address);
    await until(() => server.connections.size === 1);
    const first = server.shutdown({ deadline: 0 });
    await settled();
    expect(server.connections.size).toBe(1);
    void server.shutdown({ deadline: 0, drain: false });
    expect(await peer.ended).toBe('fin');
    peer.end();
    await first;
    expect(outcomes.values).toMatchObject([{ reason: 'finished' }]);
  });

  it("S7: a shutdown with drain: false aborts a connection if some values of the handler's iterable are not yet sent", async () => {
    let pulled = 0;
    let returned = false;
    const { server, address, outcomes, incidents } = await serving(place, function* () {
      try {
        for (; pulled < 1_000; pulled++) yield 'x'.repeat(60_000);
      } finally {
        returned = true;
      }
    });
    const peer = await peerAt(place, address);
    await until(() => pulled > 0);
    await settled();
    await server.shutdown({ drain: false, deadline: 0 });
    expect(returned).toBe(true);
    expect(pulled).toBeLessThan(1_000);
    expect(outcomes.values).toMatchObject([{ reason: 'failed', error: { code: 'ERR_TIMEOUT_CLOSE' } }]);
    expect(incidents.values).toMatchObject([{ code: 'ERR_TIMEOUT_CLOSE' }]);
    await peer.ended;
  });
});
