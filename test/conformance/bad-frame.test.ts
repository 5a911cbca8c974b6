import { firstValueFrom } from 'rxjs';
import {
  type Address,
  type Closed,
  concatMapPaced,
  listen,
  type ListenOptions,
  mergeMapPaced,
  sendTo,
  serve,
  type Server,
  type SocketError,
} from 'rxjs-sockets';
import { jsonLines, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { peerAt } from '../support/sockets/peer.js';
import { settled } from '../support/scheduling/event-loop.js';
import { allPlaces, type Place, realPlaces } from '../support/transport/places.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { endingOf, readAll } from '../support/sockets/read-socket.js';
import { type Recording, record } from '../support/recording/record.js';
import { until } from '../support/scheduling/event-loop.js';

interface Question {
  readonly id: number;
}

type Answer = { readonly answer: number } | { readonly error: string };
type Handler = Parameters<typeof serve<Question, Answer>>[0];

interface Serving {
  readonly server: Server<Question, Answer>;
  readonly address: Address;
  readonly outcomes: Recording<Closed>;
  readonly incidents: Recording<SocketError>;
}

async function serving(
  place: Place,
  handler: Handler,
  options: ListenOptions<Question, Answer> = {},
): Promise<Serving> {
  const codec = jsonLines<Question, Answer>();
  const server = listen<Question, Answer>(await place.address(), { codec, ...place.options, ...options });
  const incidents = record(server.incidents);
  const outcomes = record(server.pipe(serve(handler)));
  onTestFinished(() => {
    outcomes.subscription.unsubscribe();
    for (const connection of server.connections) connection.destroy();
  });
  return { server, outcomes, incidents, address: await firstValueFrom(server.listening) };
}

const reply = ({ id }: Question): Answer => ({ answer: id });
const complaint = (error: unknown): Answer => ({ error: (error as SocketError).code });
const later = async (question: Question): Promise<Answer> => {
  await settled();
  return reply(question);
};

const bad = '{"id":1}\n{"id":2}\n{"id":3}\nnonsense\n{"id":4}\n';
const answers = [1, 2, 3].map((id) => `{"answer":${id}}\n`).join('');
const errorAnswer = '{"error":"ERR_FRAME_INVALID"}\n';

/** `complains`: whether the handler answers a bad frame with an error message. */
const forms: readonly (readonly [name: string, handler: Handler, complains: boolean])[] = [
  [
    'a subscriber that calls `next`',
    ({ data }) =>
      void data.subscribe({
        next: (question) => data.next(reply(question)),
        error: (error: unknown) => data.next(complaint(error)),
      }),
    true,
  ],
  [
    'an async generator',
    async function* ({ data }) {
      try {
        for await (const question of data) yield await later(question);
      } catch (error) {
        yield complaint(error);
      }
    },
    true,
  ],
  [
    'an async function that calls `send` itself',
    async ({ data }) => {
      try {
        for await (const question of data) await data.send(await later(question));
      } catch (error) {
        await settled();
        await data.send(complaint(error));
      }
    },
    true,
  ],
  [
    'an async function that is not awaited',
    ({ data }) =>
      void (async () => {
        try {
          for await (const question of data) await data.send(await later(question));
        } catch (error) {
          await data.send(complaint(error));
        }
      })(),
    true,
  ],
  ['concatMapPaced', ({ data }) => data.pipe(concatMapPaced(later)), false],
  ['mergeMapPaced, one at a time', ({ data }) => data.pipe(mergeMapPaced(later, 1)), false],
  [
    'a Flow sent by `flow.subscribe(channel)`',
    ({ data }) => void data.pipe(concatMapPaced(later)).subscribe(data),
    false,
  ],
  ['sendTo', ({ data }) => void data.pipe(concatMapPaced(later), sendTo(data)).subscribe(), false],
  ['sendFrom', ({ data }) => void data.sendFrom(data.pipe(concatMapPaced(later))).subscribe(), false],
];

describe.each(allPlaces.map((place) => [place.name, place] as const))('a bad frame on %s', (_name, place) => {
  describe.each(forms)('requests that are read by %s', (_kind, handler, complains) => {
    it.each(['one packet', 'single bytes'])('D3: requests sent as %s before a bad frame are answered', async (how) => {
      const { address, outcomes, incidents } = await serving(place, handler);
      const peer = await peerAt(place, address);
      if (how === 'one packet') peer.write(bad);
      else for (const byte of bad) peer.write(byte);
      await peer.receives(complains ? answers + errorAnswer : answers);
      expect(await peer.ended).toBe('fin');
      peer.end();
      const [closed] = await outcomes.count(1);
      expect(closed).toMatchObject({ reason: 'failed', error: { code: 'ERR_FRAME_INVALID' } });
      expect(incidents.values).toEqual([closed?.error]);
    });
  });

  it('D3: a bad frame in a view made by `framed` ends the connection like a bad frame in `data`', async () => {
    const { address, outcomes } = await serving(place, ({ bytes }) => {
      const view = bytes.framed(lines({ maxLength: 10 }));
      view.subscribe({ next: (line) => view.next(line), error: () => view.next('too long') });
    });
    const peer = await peerAt(place, address);
    peer.write(`one\n${'x'.repeat(20)}`);
    await peer.receives('one\ntoo long\n');
    expect(await peer.ended).toBe('fin');
    peer.end();
    expect(await outcomes.count(1)).toMatchObject([{ reason: 'failed', error: { code: 'ERR_FRAME_TOO_LONG' } }]);
  });

  it.each([true, false])(
    'D3: if the stream ends inside a frame, the connection ends as after a bad frame; halfOpen: %s',
    async (halfOpen) => {
      const { address, outcomes, incidents } = await serving(place, forms[0]?.[1] as Handler, { halfOpen });
      const peer = await peerAt(place, address);
      peer.write('{"id":1}\n{"id":');
      peer.end();
      await peer.receives('{"answer":1}\n{"error":"ERR_FRAME_TRUNCATED"}\n');
      expect(await peer.ended).toBe('fin');
      expect(await outcomes.count(1)).toMatchObject([{ reason: 'failed', error: { code: 'ERR_FRAME_TRUNCATED' } }]);
      expect(incidents.values.length).toBe(1);
    },
  );
});

describe.each(realPlaces.map((place) => [place.name, place] as const))(
  'a bad frame from a plain peer on %s',
  (_name, place) => {
    it('D3: after a bad frame, more than a megabyte of queued output is still flushed to a slow peer', async () => {
      const long = 'x'.repeat(60_000);
      const server = listen<string, string>(await place.address(), {
        codec: lines(),
        maxBuffered: 8_000_000,
        closeTimeout: 15_000,
      });
      const incidents = record(server.incidents);
      const serving = server.subscribe(({ data }) => {
        data.subscribe({
          next: () => {
            for (let n = 0; n < 60; n++) data.next(long);
          },
          error: () => data.next('bad'),
        });
      });
      onTestFinished(() => serving.unsubscribe());
      const raw = await rawClient(await firstValueFrom(server.listening));
      raw.write(Buffer.concat([Buffer.from('go\n'), Buffer.from([0xff, 10])]));
      let size = 0;
      let end = '';
      raw.on('data', (chunk) => {
        size += chunk.length;
        end = chunk.toString().slice(-5);
        raw.pause();
        setTimeout(() => raw.resume(), 1);
      });
      await new Promise((resolve, reject) => raw.on('end', resolve).on('error', reject));
      expect(size).toBe(60 * 60_001 + 4);
      expect(end).toBe('\nbad\n');
      raw.end();
      expect(await incidents.count(1)).toMatchObject([{ code: 'ERR_FRAME_INVALID' }]);
    });

    it('D3: input that keeps arriving after a bad frame is read and discarded until `closeTimeout` ends the connection', async () => {
      const heard: Question[] = [];
      const { server, address, outcomes } = await serving(
        place,
        ({ data }) => void data.subscribe({ next: (question) => heard.push(question), error: () => undefined }),
        { closeTimeout: 500 },
      );
      const raw = await rawClient(address);
      raw.write('{"id":1}\nnonsense\n');
      await until(() => [...server.connections].some(({ stats }) => stats.bytesRead === 18));
      const [connection] = server.connections;
      const flood = Buffer.alloc(1_000_000, '{"id":2}\n');
      let flooding = true;
      raw.on('error', () => (flooding = false));
      void (async () => {
        while (flooding) await new Promise((resolve) => raw.write(flood, resolve));
      })();
      const [closed] = await outcomes.count(1);
      flooding = false;
      expect(closed).toMatchObject({ reason: 'failed', error: { code: 'ERR_FRAME_INVALID' } });
      expect(connection?.stats.bytesRead).toBeGreaterThan(5_000_000);
      expect(heard).toEqual([{ id: 1 }]);
    });

    it('D3: a handler that is still running after a bad frame has until `closeTimeout` to finish', async () => {
      const { address, outcomes } = await serving(
        place,
        async ({ data }) => {
          await firstValueFrom(data);
          await new Promise(() => undefined);
        },
        { closeTimeout: 50 },
      );
      const { address: other, outcomes: others } = await serving(
        place,
        async ({ data }) => {
          data.subscribe({ error: () => undefined });
          await new Promise(() => undefined);
        },
        { closeTimeout: 50 },
      );
      const raw = await rawClient(other);
      raw.write('nonsense\n');
      await endingOf(raw);
      expect(await others.count(1)).toMatchObject([{ reason: 'failed', error: { code: 'ERR_FRAME_INVALID' } }]);
      // If a handler stops reading before it reaches the bad frame, the handler is not interrupted.
      const lucky = await rawClient(address);
      lucky.end('{"id":1}\nnonsense\n');
      await settled();
      expect(outcomes.values).toEqual([]);
    });

    it('C12: if a subscriber calls `destroy` when it gets the error of a bad frame, `closed` still reports the bad frame, but the connection is aborted immediately', async () => {
      const { address, outcomes, incidents } = await serving(place, (connection) => {
        const { data } = connection;
        data.subscribe({
          next: (question) => data.next(reply(question)),
          error: () => {
            data.next({ error: 'lost' });
            connection.destroy(new Error('mine'));
          },
        });
      });
      const raw = await rawClient(address);
      raw.write(bad);
      const [closed] = await outcomes.count(1);
      expect(closed).toMatchObject({ reason: 'failed', error: { code: 'ERR_FRAME_INVALID' } });
      expect(incidents.values).toEqual([closed?.error]);
      const how = await endingOf(raw);
      if (place.name === 'tcp') expect(how).toBe('ECONNRESET');
    });

    it('D3: if two bad frames arrive, only the first bad frame is reported, and each subscriber gets one error', async () => {
      const errors: unknown[] = [];
      const { address, outcomes } = await serving(place, ({ data, bytes }) => {
        bytes.subscribe({ error: (error: unknown) => errors.push(error) });
        data.subscribe({ error: (error: unknown) => errors.push(error) });
      });
      const raw = await rawClient(address);
      raw.write('nonsense\nmore nonsense\n');
      expect((await readAll(raw)).toString()).toBe('');
      raw.end('nonsense');
      const [closed] = await outcomes.count(1);
      expect(errors).toEqual([closed?.error, closed?.error]);
    });

    it('D3: if a bad frame arrives while the values of an iterable are being sent, all values of the iterable are still sent', async () => {
      const { address, outcomes } = await serving(place, ({ data }) => {
        data.subscribe({ error: () => undefined });
        return (function* () {
          for (let id = 0; id < 20_000; id++) yield { answer: id };
        })();
      });
      const raw = await rawClient(address);
      raw.write('nonsense\n');
      await settled();
      const text = (await readAll(raw)).toString();
      raw.end();
      expect(text.split('\n').length - 1).toBe(20_000);
      expect(await outcomes.count(1)).toMatchObject([{ reason: 'failed', error: { code: 'ERR_FRAME_INVALID' } }]);
    });

    it('D3: if the peer resets the connection after a bad frame, while the handler still runs, `serve` still reports the bad frame', async () => {
      const { address, outcomes } = await serving(place, async ({ data }) => {
        data.subscribe({ error: () => undefined });
        await new Promise(() => undefined);
      });
      const raw = await rawClient(address);
      raw.write('nonsense\n');
      await settled();
      if (place.name === 'tcp') raw.resetAndDestroy();
      else {
        raw.destroy();
        await settled();
        return;
      }
      expect(await outcomes.count(1)).toMatchObject([{ reason: 'failed', error: { code: 'ERR_FRAME_INVALID' } }]);
    });
  },
);
