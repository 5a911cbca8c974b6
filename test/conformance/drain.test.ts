import net from 'node:net';
import {
  concatMap,
  delay,
  EMPTY,
  endWith,
  firstValueFrom,
  from,
  ignoreElements,
  interval,
  map,
  NEVER,
  of,
  takeUntil,
  timer,
} from 'rxjs';
import {
  type Address,
  type Closed,
  concatMapPaced,
  connect,
  type Connection,
  listen,
  type ListenOptions,
  mergeMapPaced,
  relay,
  sendTo,
  serve,
  type Server,
  type ShutdownOptions,
  type SocketError,
} from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { peerAt } from '../support/sockets/peer.js';
import { settled } from '../support/scheduling/event-loop.js';
import { allPlaces, type Place, places, realPlaces, tcp } from '../support/transport/places.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { endingOf, readAll } from '../support/sockets/read-socket.js';
import { type Recording, record } from '../support/recording/record.js';
import { until } from '../support/scheduling/event-loop.js';

type Handler = Parameters<typeof serve<string, string>>[0];
type Lines = Connection<string, string>;

interface Serving {
  readonly server: Server<string, string>;
  readonly address: Address;
  readonly outcomes: Recording<Closed>;
  readonly incidents: Recording<SocketError>;
}

/** A server of lines that `handler` serves, until the end of the test. */
async function serving(place: Place, handler: Handler, options: ListenOptions<string, string> = {}): Promise<Serving> {
  const server = listen<string, string>(await place.address(), { codec: lines(), ...place.options, ...options });
  const incidents = record(server.incidents);
  const outcomes = record(server.pipe(serve(handler)));
  onTestFinished(() => {
    outcomes.subscription.unsubscribe();
    for (const connection of server.connections) connection.destroy();
  });
  return { server, outcomes, incidents, address: await firstValueFrom(server.listening) };
}

/** Work that lasts until the test opens the gate: each answer waits for it. */
class Gate {
  /** How many questions have been begun. */
  begun = 0;
  private open: () => void = () => undefined;
  private readonly opened = new Promise<void>((resolve) => {
    this.open = resolve;
  });

  readonly answer = async (question: string): Promise<string> => {
    this.begun++;
    await this.opened;
    return `answer to ${question}`;
  };

  release(): void {
    this.open();
  }
}

type Form = readonly [name: string, handler: (gate: Gate) => Handler, atOnce: number];

/** Every way to answer each line, with how many questions it begins at once. */
const forms: readonly Form[] = [
  [
    'an Observable, through concatMap',
    ({ answer }) =>
      ({ data }) =>
        from(data).pipe(concatMap(answer)),
    1,
  ],
  [
    'a Flow, through concatMapPaced',
    ({ answer }) =>
      ({ data }) =>
        data.pipe(concatMapPaced(answer)),
    1,
  ],
  [
    'a Flow, through mergeMapPaced',
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
    'an async function that sends by itself',
    ({ answer }) =>
      async ({ data }) => {
        for await (const question of data) await data.send(await answer(question));
      },
    1,
  ],
  [
    'an async function that gives one answer',
    ({ answer }) =>
      async ({ data }) => {
        const answers: string[] = [];
        for await (const question of data) answers.push(await answer(question));
        return answers.join('\n').split('\n').join(', ');
      },
    1,
  ],
  [
    'a sendFrom by hand',
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
    'a Flow that is subscribed to a channel',
    ({ answer }) =>
      ({ data }) => {
        data.pipe(concatMapPaced(answer)).subscribe(data);
      },
    1,
  ],
];

describe.each(allPlaces.map((place) => [place.name, place] as const))('a drain on %s', (_name, place) => {
  it.each(forms)('S7: what was received is answered, several requests too: %s', async (kind, handler, atOnce) => {
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
  });

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
    ['one that nobody reads', () => undefined],
  ])('S7: an idle connection is closed at once, whether it is drained or not: %s', async (kind, handler) => {
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

  it('S7: an unfinished frame is dropped, and not delivered as a whole one', async () => {
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

  it('S7: a body in progress fails with ERR_FRAME_TRUNCATED', async () => {
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

  it('S7: a body that was received, and the request behind it, are still taken', async () => {
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

  it('S7: at the deadline what is left is aborted, and reported', async () => {
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

  it('S7: a second call hurries the first', async () => {
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

  it('S7: a second call with drain: false waits for no handler any more', async () => {
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

  it('S7: without draining, a paced send that is not finished is aborted', async () => {
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

describe.each(realPlaces.map((place) => [place.name, place] as const))(
  'a drain with plain peers on %s',
  (_name, place) => {
    const long = 'x'.repeat(50_000);

    it.each<[string, () => ReturnType<Handler>]>([
      [
        'an iterable',
        function* () {
          for (let n = 0; n < 60; n++) yield long;
        },
      ],
      [
        'an async iterable',
        async function* () {
          for (let n = 0; n < 60; n++) yield await Promise.resolve(long);
        },
      ],
    ])('S7: a reply that is under way reaches a slow reader to its last byte: %s', async (_kind, handler) => {
      const { server, address, outcomes } = await serving(place, handler);
      const raw = await rawClient(address);
      let size = 0;
      let shutdown: Promise<void> | undefined;
      raw.on('data', (chunk) => {
        size += chunk.length;
        raw.pause();
        setTimeout(() => raw.resume(), 1);
        if (size > 100_000) shutdown ??= server.shutdown({ deadline: 15_000 });
      });
      await new Promise((resolve, reject) => raw.on('end', resolve).on('error', reject));
      raw.end();
      await shutdown;
      expect(size).toBe(60 * 50_001);
      expect(outcomes.values).toMatchObject([{ reason: 'finished' }]);
    });

    it('S7: an echo under way sends back all that was received', async () => {
      const { server, address, outcomes } = await serving(place, ({ data }) => data);
      const raw = await rawClient(address);
      const text = `${long}\n`.repeat(100);
      raw.write(text);
      await until(() => [...server.connections].some(({ stats }) => stats.bytesRead > 500_000));
      const shutdown = server.shutdown();
      const echoed = (await readAll(raw)).toString();
      raw.end();
      await shutdown;
      expect(echoed.length % (long.length + 1)).toBe(0);
      expect(echoed.length).toBeGreaterThan(400_000);
      expect(text.startsWith(echoed)).toBe(true);
      expect(outcomes.values).toMatchObject([{ reason: 'finished', bytesWritten: echoed.length }]);
    });

    it('S7: a relay passes on what it has received', async () => {
      const { server: behind, address: inner } = await serving(place, ({ data }) =>
        data.pipe(concatMap((line) => of(line).pipe(delay(50)))),
      );
      const { server, address, outcomes } = await serving(place, ({ data }) => {
        const client = connect<string, string>(inner, { codec: lines(), halfOpen: true });
        relay(data, client.data).subscribe();
      });
      const raw = await rawClient(address);
      raw.write('one\ntwo\n');
      await until(() => [...behind.connections].some(({ stats }) => stats.bytesRead === 8));
      const shutdown = server.shutdown();
      expect((await readAll(raw)).toString()).toBe('one\ntwo\n');
      raw.end();
      await shutdown;
      expect(outcomes.values).toMatchObject([{ reason: 'finished' }]);
      await behind.shutdown();
    });

    it('S7: a peer that floods meanwhile costs no memory, and its flood is not delivered', async () => {
      const gate = new Gate();
      const heard: string[] = [];
      const { server, address, outcomes } = await serving(place, async ({ data }) => {
        for await (const line of data) {
          heard.push(line);
          await data.send(await gate.answer(line));
        }
      });
      const raw = await rawClient(address);
      raw.write('one\n');
      await until(() => gate.begun === 1);
      const shutdown = server.shutdown();
      const [connection] = server.connections;
      let sent = 0;
      const flood = Buffer.alloc(1_000_000, 'flood\n');
      // All of it is taken off the kernel's hands, though nobody reads any more.
      for (; sent < 30; sent++) await new Promise((resolve) => raw.write(flood, resolve));
      await until(() => (connection?.stats.bytesRead ?? 0) > 29_000_000);
      gate.release();
      expect((await readAll(raw)).toString()).toBe('answer to one\n');
      raw.end();
      await shutdown;
      expect(heard).toEqual(['one']);
      expect(outcomes.values).toMatchObject([{ reason: 'finished', bytesRead: 4 + 30_000_000 }]);
    });

    it('S7: a peer that never finishes is cut off at the deadline, after it has got all', async () => {
      const { server, address, outcomes } = await serving(place, ({ data }) => data);
      const raw = await rawClient(address);
      raw.write('hello\n');
      await until(() => [...server.connections].some(({ stats }) => stats.bytesWritten === 6));
      const shutdown = server.shutdown({ deadline: 50 });
      expect((await readAll(raw)).toString()).toBe('hello\n');
      await shutdown;
      expect(outcomes.values).toMatchObject([{ reason: 'failed', error: { code: 'ERR_TIMEOUT_CLOSE' } }]);
    });

    it('S7: a reply that a peer does not read is never ended in order at the deadline', async () => {
      const { server, address, outcomes, incidents } = await serving(place, function* () {
        for (let n = 0; n < 400; n++) yield long;
      });
      const raw = await rawClient(address);
      await until(() => [...server.connections].some(({ stats }) => stats.bytesWritten > 0));
      await settled();
      await server.shutdown({ deadline: 50 });
      expect(outcomes.values).toMatchObject([{ reason: 'failed', error: { code: 'ERR_TIMEOUT_CLOSE' } }]);
      expect(incidents.values.length).toBe(1);
      let size = 0;
      raw.on('data', (chunk) => (size += chunk.length));
      const how = await endingOf(raw);
      if (place.name === 'tcp') expect(how).toBe('ECONNRESET');
      expect(size).toBeLessThan(400 * 50_001);
    });

    it('S7: without draining, the peer of a send that is not finished is reset', async () => {
      const { server, address, outcomes } = await serving(place, function* () {
        for (let n = 0; n < 400; n++) yield long;
      });
      const raw = await rawClient(address);
      let size = 0;
      raw.on('data', (chunk) => (size += chunk.length));
      await until(() => size > 500_000);
      const shutdown = server.shutdown({ drain: false, deadline: 0 });
      const how = await endingOf(raw);
      if (place.name === 'tcp') expect(how).toBe('ECONNRESET');
      expect(size).toBeLessThan(400 * 50_001);
      await shutdown;
      expect(outcomes.values).toMatchObject([{ reason: 'failed', error: { code: 'ERR_TIMEOUT_CLOSE' } }]);
    });

    it('S7: the peer that resets its connection meanwhile fails it, and the shutdown resolves', async () => {
      const { server, address, outcomes } = await serving(place, ({ data }) => data.pipe(concatMapPaced(() => NEVER)));
      const raw = await rawClient(address);
      raw.write('one\ntwo\n');
      await until(() => [...server.connections].some(({ stats }) => stats.bytesRead === 8));
      const shutdown = server.shutdown({ deadline: 0 });
      await settled();
      if (place.name === 'tcp') {
        raw.resetAndDestroy();
        await shutdown;
        expect(outcomes.values).toMatchObject([{ reason: 'failed', error: { code: 'ECONNRESET' } }]);
      } else {
        // A unix socket that is closed is seen as a FIN: the handler goes on.
        raw.destroy();
        await settled();
        void server.shutdown({ deadline: 10 });
        await shutdown;
        expect(outcomes.values).toMatchObject([{ reason: 'failed', error: { code: 'ERR_TIMEOUT_CLOSE' } }]);
      }
    });

    it.each<[string, ShutdownOptions]>([
      ['drained', {}],
      ['not drained', { drain: false }],
    ])('S7: the peer may have finished before, and be answered: %s', async (_how, options) => {
      const gate = new Gate();
      const { server, address, outcomes } = await serving(place, ({ data }) => data.pipe(concatMapPaced(gate.answer)));
      const raw = await rawClient(address);
      raw.end('one\ntwo\n');
      await until(() => gate.begun === 1);
      await settled();
      const shutdown = server.shutdown(options);
      setTimeout(() => gate.release(), 30);
      const told = readAll(raw).then(String, String);
      await shutdown;
      if (options.drain === false)
        expect(outcomes.values).toMatchObject([{ reason: 'failed', error: { code: 'ERR_TIMEOUT_CLOSE' } }]);
      else {
        expect(await told).toBe('answer to one\nanswer to two\n');
        expect(outcomes.values).toMatchObject([{ reason: 'finished' }]);
      }
      await told;
    });

    it('S7: a handler that is called by the shutdown of another one is drained as well', async () => {
      let second: Promise<void> | undefined;
      const { server, address, outcomes } = await serving(place, async ({ data }) => {
        const line = await firstValueFrom(data);
        if (line === 'stop') void (second = server.shutdown());
        return `${line}!`;
      });
      const [one, other] = [await rawClient(address), await rawClient(address)];
      other.write('hello\n');
      expect((await readAll(other)).toString()).toBe('hello!\n');
      other.end();
      one.write('stop\n');
      expect((await readAll(one)).toString()).toBe('stop!\n');
      one.end();
      await until(() => second !== undefined);
      await second;
      expect(outcomes.values).toMatchObject([{ reason: 'finished' }, { reason: 'finished' }]);
    });

    it('S7: a held connection gets what was received when it is released, then its end', async () => {
      const heard: string[] = [];
      let held: { release(): void } | undefined;
      const { server, address, outcomes } = await serving(place, ({ data }) => {
        held = data.hold();
        data.subscribe({ next: (line) => heard.push(line), complete: () => heard.push('the end') });
      });
      const raw = await rawClient(address);
      raw.write('one\ntwo\n');
      await until(() => [...server.connections].some(({ stats }) => stats.bytesRead === 8));
      const shutdown = server.shutdown();
      await settled();
      expect(heard).toEqual([]);
      held?.release();
      expect((await readAll(raw)).toString()).toBe('');
      raw.end();
      await shutdown;
      expect(heard).toEqual(['one', 'two', 'the end']);
      expect(outcomes.values).toMatchObject([{ reason: 'finished' }]);
    });

    it('S7: a reply that is sent when the end is told still goes out', async () => {
      const { server, address } = await serving(place, ({ data }) => {
        data.subscribe({ next: () => undefined, complete: () => data.next('goodbye') });
      });
      const raw = await rawClient(address);
      await until(() => server.connections.size === 1);
      const shutdown = server.shutdown();
      expect((await readAll(raw)).toString()).toBe('goodbye\n');
      raw.end();
      await shutdown;
    });

    it('S7: a big reply by next, to a slow reader, goes out whole', async () => {
      const { server, address, outcomes } = await serving(
        place,
        ({ data }) => {
          data.subscribe(() => {
            for (let n = 0; n < 60; n++) data.next(long);
          });
        },
        { maxBuffered: 16_000_000 },
      );
      const raw = await rawClient(address);
      raw.write('go\n');
      await until(() => [...server.connections].some(({ stats }) => stats.bytesWritten > 0));
      for (const drain of [true, false]) void server.shutdown({ drain });
      await settled();
      expect((await readAll(raw)).length).toBe(60 * 50_001);
      raw.end();
      await server.shutdown();
      expect(outcomes.values).toMatchObject([{ reason: 'finished' }]);
    });

    it('S7: the halfOpen of the server changes nothing', async () => {
      for (const halfOpen of [true, false]) {
        const gate = new Gate();
        const { server, address, outcomes } = await serving(
          place,
          ({ data }) => data.pipe(concatMapPaced(gate.answer)),
          { halfOpen },
        );
        const raw = await rawClient(address);
        raw.write('one\ntwo\n');
        await until(() => gate.begun === 1);
        const shutdown = server.shutdown();
        // The peer finishes while it is being answered.
        raw.end();
        await settled();
        gate.release();
        expect((await readAll(raw)).toString()).toBe('answer to one\nanswer to two\n');
        await shutdown;
        expect(outcomes.values).toMatchObject([{ reason: 'finished' }]);
      }
    });
  },
);

describe('a drain in the process', () => {
  it('S7: `for await` over the server, and what it serves, go on to their end', async () => {
    for (const place of places) {
      const server = listen<string, string>(await place.address(), { codec: lines(), ...place.options });
      const gate = new Gate();
      const loop = (async () => {
        for await (const connection of server as AsyncIterable<Lines>) {
          for await (const line of connection.data) await connection.data.send(await gate.answer(line));
        }
      })();
      const peer = await peerAt(place, await firstValueFrom(server.listening));
      peer.write('one\ntwo\n');
      await until(() => gate.begun === 1);
      const shutdown = server.shutdown();
      gate.release();
      // Outside `serve`, what is paced by hand is in progress while it reads.
      await peer.receives('answer to one\nanswer to two\n');
      expect(await peer.ended).toBe('fin');
      peer.end();
      await shutdown;
      await loop;
    }
  });

  it('S7: the handler of an interval learns of it by the completion of its data', async () => {
    const { server, address, outcomes } = await serving(tcp, ({ data }) =>
      interval(5).pipe(
        map((count) => `tick ${count}`),
        takeUntil(data.pipe(ignoreElements(), endWith(true))),
      ),
    );
    const raw = await rawClient(address);
    await new Promise((resolve) => raw.once('data', resolve));
    const shutdown = server.shutdown({ deadline: 0 });
    await readAll(raw);
    raw.end();
    await shutdown;
    expect(outcomes.values).toMatchObject([{ reason: 'finished' }]);
  });

  it('S7: many connections, some busy, some idle, some that never read, leave nothing', async () => {
    const { server, address, outcomes } = await serving(tcp, ({ data }) =>
      data.pipe(
        concatMapPaced((line) =>
          line === 'big' ? [...Array(400)].map(() => 'x'.repeat(50_000)) : timer(50).pipe(map(() => line)),
        ),
      ),
    );
    const raws: net.Socket[] = [];
    for (let n = 0; n < 30; n++) raws.push(await rawClient(address, { allowHalfOpen: false }));
    const heard = raws.map((raw, n) => {
      if (n % 3 === 0) raw.write('one\ntwo\n');
      if (n % 3 === 2) raw.write('big\n');
      let text = '';
      if (n % 3 !== 2) raw.on('data', (chunk) => (text += chunk.toString()));
      return () => text;
    });
    await until(() => [...server.connections].filter(({ stats }) => stats.bytesRead > 0).length === 20);
    await server.shutdown({ deadline: 400 });
    expect(server.connections.size).toBe(0);
    const reasons = outcomes.values.map(({ reason }) => reason);
    expect(reasons.filter((reason) => reason === 'finished').length).toBe(20);
    expect(reasons.filter((reason) => reason === 'failed').length).toBe(10);
    for (let n = 0; n < 30; n += 3) expect(heard[n]?.()).toBe('one\ntwo\n');
    expect(await firstValueFrom(server.pipe(ignoreElements()), { defaultValue: EMPTY })).toBe(EMPTY);
  });

  it('S7: of a connection that is being closed already, the shutdown only bounds the time', async () => {
    const { server, address, outcomes } = await serving(tcp, (connection) => {
      void connection.close();
    });
    const raw = await rawClient(address);
    expect((await readAll(raw)).toString()).toBe('');
    await server.shutdown({ deadline: 20 });
    expect(outcomes.values).toMatchObject([{ reason: 'failed', error: { code: 'ERR_TIMEOUT_CLOSE' } }]);
  });
});
