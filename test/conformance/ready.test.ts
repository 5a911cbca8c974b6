import { firstValueFrom } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import {
  type Closed,
  concatMapPaced,
  connect,
  type Connection,
  listen,
  serve,
  type Server,
  type SocketError,
} from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { memoryTransport } from 'rxjs-sockets/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { settled } from '../support/scheduling/event-loop.js';
import { memory, realPlaces, tcp } from '../support/transport/places.js';
import { acceptedAt, dialledAt, pairAt } from '../support/connection/connected-pairs.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { readAll } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { refusal } from '../support/errors/refusal.js';
import { until } from '../support/scheduling/event-loop.js';

const later = (time: number) => new Promise<void>((resolve) => setTimeout(resolve, time));

describe('idle and receive timeouts, in virtual time', () => {
  /**
   * Runs `script` in virtual time on a connection with `options`. Returns the time at which the connection ended, and
   * the code of the error with which it ended.
   */
  function run(
    options: { idleTimeout?: number; receiveTimeout?: number },
    script: (
      at: (time: number, work: () => void) => void,
      near: () => Connection<string, string>,
      far: () => Connection<string, string>,
    ) => void,
  ): string[] {
    const scheduler = new TestScheduler(() => undefined);
    const events: string[] = [];
    scheduler.run(() => {
      const transport = memoryTransport();
      let near: Connection<string, string> | undefined;
      let far: Connection<string, string> | undefined;
      const server = listen<string, string>('memory:m', { transport, codec: lines(), ...options });
      const serving = server.subscribe((connection) => {
        near = connection;
        connection.closed.subscribe(({ error }) => events.push(`${scheduler.now()} ${error?.code}`));
      });
      const client = connect<string, string>('memory:m', { transport, codec: lines() });
      const states = client.subscribe({
        next: (state) => {
          if (state.status === 'connected') far = state.connection;
        },
        error: () => undefined,
      });
      script(
        (time, work) => void scheduler.schedule(work, time),
        () => near as Connection<string, string>,
        () => far as Connection<string, string>,
      );
      scheduler.schedule(() => {
        states.unsubscribe();
        serving.unsubscribe();
        void server.shutdown();
      }, 2_000);
    });
    return events;
  }

  it('C27: receiveTimeout counts from the last bytes received, whatever this side sends', () => {
    const events = run({ receiveTimeout: 100 }, (at, near, far) => {
      at(1, () => near().data.subscribe({ error: () => undefined }));
      at(60, () => far().data.next('here'));
      for (let time = 10; time < 400; time += 10) at(time, () => near().data.next('are you there?'));
    });
    expect(events).toEqual(['160 ERR_TIMEOUT_RECEIVE']);
  });

  it('C27: idleTimeout counts from the last bytes received or sent', () => {
    const events = run({ idleTimeout: 100 }, (at, near, far) => {
      at(1, () => near().data.subscribe({ error: () => undefined }));
      at(60, () => far().data.next('here'));
      for (let time = 100; time <= 400; time += 50) at(time, () => near().data.next('are you there?'));
    });
    expect(events).toEqual(['500 ERR_TIMEOUT_IDLE']);
  });

  it.each([
    ['idleTimeout', 'ERR_TIMEOUT_IDLE'],
    ['receiveTimeout', 'ERR_TIMEOUT_RECEIVE'],
  ])('C27: %s does not run while the connection is held', (option, code) => {
    const events = run({ [option]: 100 }, (at, near) => {
      let held: { release(): void } | undefined;
      at(1, () => near().data.subscribe({ error: () => undefined }));
      at(50, () => (held = near().data.hold()));
      at(730, () => held?.release());
    });
    expect(events).toEqual([`830 ${code}`]);
  });

  it('C27: receiveTimeout does not run after the peer has ended its side', () => {
    const events = run({ receiveTimeout: 100 }, (at, near, far) => {
      at(1, () => near().data.subscribe({ error: () => undefined }));
      at(50, () => far().data.complete());
      at(600, () => near().data.complete());
    });
    expect(events).toEqual(['600 undefined']);
  });
});

describe.each(realPlaces.map((place) => [place.name, place] as const))(
  'idle and receive timeouts on %s',
  (_name, place) => {
    async function serving(handler: Parameters<typeof serve<string, string>>[0], options: object) {
      const server: Server<string, string> = listen<string, string>(await place.address(), {
        codec: lines(),
        ...options,
      });
      const outcomes = record<Closed>(server.pipe(serve(handler)));
      onTestFinished(() => outcomes.subscription.unsubscribe());
      const raw = await rawClient(await firstValueFrom(server.listening));
      return { server, outcomes, raw };
    }

    it.each(['idleTimeout', 'receiveTimeout'])('C27: %s does not run while a handler is busy', async (option) => {
      const { raw, outcomes } = await serving(
        ({ data }) =>
          data.pipe(
            concatMapPaced(async (question) => {
              await later(150);
              return `answer to ${question}`;
            }),
          ),
        { [option]: 50 },
      );
      raw.end('one\ntwo\n');
      expect((await readAll(raw)).toString()).toBe('answer to one\nanswer to two\n');
      expect(await outcomes.count(1)).toMatchObject([{ reason: 'finished' }]);
    });

    it('C27: while the loop of a handler handles one request after another, neither timeout ends the connection of that handler', async () => {
      const { raw, outcomes } = await serving(
        async function* ({ data }) {
          for await (const question of data) {
            await later(120);
            yield `answer to ${question}`;
          }
        },
        { idleTimeout: 50, receiveTimeout: 50 },
      );
      raw.end('one\ntwo\n');
      expect((await readAll(raw)).toString()).toBe('answer to one\nanswer to two\n');
      expect(await outcomes.count(1)).toMatchObject([{ reason: 'finished' }]);
    });

    it('C27: while a handler works on the only request that it reads, neither timeout ends the connection of that handler', async () => {
      const { raw, outcomes } = await serving(
        async ({ data }) => {
          const question = await firstValueFrom(data);
          await later(300);
          return `answer to ${question}`;
        },
        { idleTimeout: 150, receiveTimeout: 150 },
      );
      raw.write('one\n');
      expect((await readAll(raw)).toString()).toBe('answer to one\n');
      raw.end();
      expect(await outcomes.count(1)).toMatchObject([{ reason: 'finished' }]);
    });

    it('C27: idleTimeout ends a connection whose handler waits for a request', async () => {
      const { raw, outcomes } = await serving(async ({ data }) => firstValueFrom(data), { idleTimeout: 50 });
      raw.resume();
      expect(await outcomes.count(1)).toMatchObject([{ reason: 'failed', error: { code: 'ERR_TIMEOUT_IDLE' } }]);
    });

    it('C27: receiveTimeout ends a connection whose peer stays silent, although this side keeps sending', async () => {
      const { near, raw } = await dialledAt<string, string>(place, { codec: lines(), receiveTimeout: 60 });
      raw.resume();
      const asking = setInterval(() => near.data.next('status?'), 10);
      onTestFinished(() => clearInterval(asking));
      const recording = record(near.data);
      expect(await recording.end()).toMatchObject({ code: 'ERR_TIMEOUT_RECEIVE' });
      expect(await firstValueFrom(near.closed)).toMatchObject({
        reason: 'failed',
        error: { code: 'ERR_TIMEOUT_RECEIVE' },
      });
    });

    it('C27: while a shutdown waits for a handler, idleTimeout does not end the connection of that handler', async () => {
      const { server, raw, outcomes } = await serving(
        async ({ data }) => {
          const question = await firstValueFrom(data);
          data.subscribe();
          await later(150);
          return `answer to ${question}`;
        },
        { idleTimeout: 100 },
      );
      raw.write('one\n');
      await until(() => [...server.connections].some(({ stats }) => stats.bytesRead === 4));
      const shutdown = server.shutdown();
      expect((await readAll(raw)).toString()).toBe('answer to one\n');
      raw.end();
      await shutdown;
      expect(outcomes.values).toMatchObject([{ reason: 'finished' }]);
    });
  },
);

describe('ignored values', () => {
  it('C25: a closed channel warns once, after a thousand ignored values', async () => {
    const warnings: (Error & { code?: string; detail?: string })[] = [];
    const listener = (warning: Error): void => void warnings.push(warning);
    process.on('warning', listener);
    onTestFinished(() => void process.off('warning', listener));
    for (const place of [tcp, memory()]) {
      const { near } = await pairAt<string, string>(place, { codec: lines() });
      near.destroy();
      await firstValueFrom(near.closed);
      for (let n = 0; n < 999; n++) near.data.next('x');
      await settled();
      expect(warnings).toEqual([]);
      near.data.next('x');
      await settled();
      expect(warnings).toMatchObject([{ code: 'RXJS_SOCKETS_IGNORED', name: 'Warning' }]);
      expect(warnings[0]?.detail).toMatch(/sendFrom.*sendTo/s);
      for (let n = 0; n < 5_000; n++) near.data.next('x');
      await settled();
      expect(warnings.length).toBe(1);
      // A different channel warns separately.
      for (let n = 0; n < 1_000; n++) near.bytes.next('x');
      await settled();
      expect(warnings.length).toBe(2);
      warnings.length = 0;
    }
  });
});

describe('logging and disposal', () => {
  it('C28: a `Closed` value, from `closed` or from serve, contains its connection, and can be logged as JSON', async () => {
    const server = listen<string, string>({ port: 0 }, { codec: lines() });
    let arrived: Connection<string, string> | undefined;
    const outcomes = record(
      server.pipe(
        serve((connection) => {
          arrived = connection;
          return ['hello'];
        }),
      ),
    );
    const raw = await rawClient(await firstValueFrom(server.listening));
    await readAll(raw);
    raw.end();
    const [closed] = await outcomes.count(1);
    expect(closed?.connection).toBe(arrived);
    expect(closed?.connection.remote).toMatchObject({ transport: 'tcp' });
    expect(await firstValueFrom((arrived as Connection<string, string>).closed)).toBe(closed);
    expect(JSON.parse(JSON.stringify(closed))).toEqual({ reason: 'finished', bytesRead: 0, bytesWritten: 6 });
    await server.shutdown();
  });

  it('C29: when the signal of a server is aborted, the server waits for its handlers and shuts down', async () => {
    const controller = new AbortController();
    const server = listen<string, string>({ port: 0 }, { codec: lines(), signal: controller.signal });
    let begun = false;
    const outcomes = record(
      server.pipe(
        serve(async ({ data }) => {
          const line = await firstValueFrom(data);
          begun = true;
          await settled();
          return `${line}!`;
        }),
      ),
    );
    const raw = await rawClient(await firstValueFrom(server.listening));
    raw.write('hello\n');
    await until(() => begun);
    controller.abort();
    expect((await readAll(raw)).toString()).toBe('hello!\n');
    raw.end();
    expect(await outcomes.end()).toBe('complete');
    expect(outcomes.values).toMatchObject([{ reason: 'finished' }]);
  });

  it('C29: if the signal is already aborted, listen throws ERR_CLOSED with the reason of the signal as cause', () => {
    const reason = new Error('too late');
    const error: SocketError = refusal(() => listen({ port: 0 }, { signal: AbortSignal.abort(reason) }));
    expect(error).toMatchObject({ code: 'ERR_CLOSED', cause: reason });
  });

  it('C29: at the end of its block, `await using` shuts down a server, or closes a connection', async () => {
    let server: Server<string, string> | undefined;
    {
      await using here = listen<string, string>({ port: 0 }, { codec: lines() });
      server = here;
      here.subscribe();
      const raw = await rawClient(await firstValueFrom(here.listening), { allowHalfOpen: false });
      raw.resume();
      await until(() => here.connections.size === 1);
    }
    expect(server.connections.size).toBe(0);
    expect(await record(server).end()).toBe('complete');
    const { near, raw } = await acceptedAt(tcp);
    const text = readAll(raw).then((all) => {
      raw.end();
      return all.toString();
    });
    {
      await using connection = near;
      connection.bytes.next('goodbye');
    }
    expect(await text).toBe('goodbye');
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
  });
});
