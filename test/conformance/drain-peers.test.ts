import net from 'node:net';
import {
  concatMap,
  delay,
  EMPTY,
  endWith,
  firstValueFrom,
  ignoreElements,
  interval,
  map,
  NEVER,
  of,
  takeUntil,
  timer,
} from 'rxjs';
import { concatMapPaced, connect, type Connection, listen, relay, type ShutdownOptions } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { peerAt } from '../support/sockets/peer.js';
import { settled } from '../support/scheduling/event-loop.js';
import { places, realPlaces, tcp } from '../support/transport/places.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { endingOf, readAll } from '../support/sockets/read-socket.js';
import { until } from '../support/scheduling/event-loop.js';
import { type Handler, serving, Gate } from '../support/server/drained-server.js';
import { usesInternals } from '../support/transport/node/internals/uses-internals.js';

type Lines = Connection<string, string>;

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
    ])('S7: if a shutdown begins during a reply from %s, a slow reader gets the full reply', async (_kind, handler) => {
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

    it('S7: an echo that is in progress when a shutdown begins still sends back everything that was received', async () => {
      const { server, address, outcomes } = await serving(place, ({ data }) => data);
      const raw = await rawClient(address);
      const text = `${long}\n`.repeat(100);
      raw.write(text);
      // If the transport does not use Node's internals, a whole write counts as buffered until the kernel has taken
      // its last byte. So the echo reaches its limit of buffered bytes earlier, and stops reading earlier.
      const most = usesInternals ? 500_000 : 250_000;
      await until(() => [...server.connections].some(({ stats }) => stats.bytesRead > most));
      const shutdown = server.shutdown();
      const echoed = (await readAll(raw)).toString();
      raw.end();
      await shutdown;
      expect(echoed.length % (long.length + 1)).toBe(0);
      expect(echoed.length).toBeGreaterThan(most - 100_000);
      expect(text.startsWith(echoed)).toBe(true);
      expect(outcomes.values).toMatchObject([{ reason: 'finished', bytesWritten: echoed.length }]);
    });

    it('S7: after a shutdown has begun, a relay still forwards everything that it has received', async () => {
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

    it('S7: a flood of input that arrives during the drain is read and discarded', async () => {
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
      // Each write completes, because the server reads and discards the flood.
      for (; sent < 30; sent++) await new Promise((resolve) => raw.write(flood, resolve));
      await until(() => (connection?.stats.bytesRead ?? 0) > 29_000_000);
      gate.release();
      expect((await readAll(raw)).toString()).toBe('answer to one\n');
      raw.end();
      await shutdown;
      expect(heard).toEqual(['one']);
      expect(outcomes.values).toMatchObject([{ reason: 'finished', bytesRead: 4 + 30_000_000 }]);
    });

    it('S7: if the peer never finishes, the connection is aborted at the deadline, after the peer has received everything', async () => {
      const { server, address, outcomes } = await serving(place, ({ data }) => data);
      const raw = await rawClient(address);
      raw.write('hello\n');
      await until(() => [...server.connections].some(({ stats }) => stats.bytesWritten === 6));
      const shutdown = server.shutdown({ deadline: 50 });
      expect((await readAll(raw)).toString()).toBe('hello\n');
      await shutdown;
      expect(outcomes.values).toMatchObject([{ reason: 'failed', error: { code: 'ERR_TIMEOUT_CLOSE' } }]);
    });

    it('S7: if the peer does not read its reply, the connection is aborted at the deadline, and never ends cleanly', async () => {
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

    it("S7: a shutdown with drain: false aborts a connection if some values of the handler's iterable are not yet sent", async () => {
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

    it('S7: if a peer resets its connection during the drain, that connection fails, and the shutdown resolves', async () => {
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
        // When the client destroys a unix socket, the server sees a FIN, so the handler continues.
        raw.destroy();
        await settled();
        void server.shutdown({ deadline: 10 });
        await shutdown;
        expect(outcomes.values).toMatchObject([{ reason: 'failed', error: { code: 'ERR_TIMEOUT_CLOSE' } }]);
      }
    });

    it.each<[string, ShutdownOptions]>([
      ['is still answered', {}],
      ['is aborted if drain is false', { drain: false }],
    ])('S7: a peer that finished before the shutdown %s', async (_how, options) => {
      const gate = new Gate();
      const { server, address, outcomes } = await serving(place, ({ data }) => data.pipe(concatMapPaced(gate.answer)));
      const raw = await rawClient(address);
      raw.end('one\ntwo\n');
      await until(() => gate.begun === 1);
      await settled();
      const shutdown = server.shutdown(options);
      setTimeout(() => gate.release(), 30);
      const replies = readAll(raw).then(String, String);
      await shutdown;
      if (options.drain === false)
        expect(outcomes.values).toMatchObject([{ reason: 'failed', error: { code: 'ERR_TIMEOUT_CLOSE' } }]);
      else {
        expect(await replies).toBe('answer to one\nanswer to two\n');
        expect(outcomes.values).toMatchObject([{ reason: 'finished' }]);
      }
      await replies;
    });

    it('S7: a handler that calls `shutdown` of the server still sends its own reply', async () => {
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

    it('S7: a channel that is held when a shutdown begins emits the received lines after the release, then completes', async () => {
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

    it('S7: a reply that is sent when `data` completes still goes out', async () => {
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

    it('S7: a slow reader gets all of a large reply that was sent with `next` before the shutdown', async () => {
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

    it("S7: requests that were received before a shutdown are answered, whatever the server's halfOpen is", async () => {
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

describe('a drain', () => {
  it('S7: a `for await` loop over the server, and the loops over its connections, run to their end', async () => {
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
      // Outside `serve`, a `for await` loop counts as work in progress while it reads.
      await peer.receives('answer to one\nanswer to two\n');
      expect(await peer.ended).toBe('fin');
      peer.end();
      await shutdown;
      await loop;
    }
  });

  it('S7: a handler that sends on an interval can stop when `data` completes', async () => {
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

  it('S7: by the deadline, busy and idle connections have ended cleanly, and connections whose peer does not read were aborted', async () => {
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

  it('S7: a connection that is already closing when a shutdown begins is aborted at the deadline', async () => {
    const { server, address, outcomes } = await serving(tcp, (connection) => {
      void connection.close();
    });
    const raw = await rawClient(address);
    expect((await readAll(raw)).toString()).toBe('');
    await server.shutdown({ deadline: 20 });
    expect(outcomes.values).toMatchObject([{ reason: 'failed', error: { code: 'ERR_TIMEOUT_CLOSE' } }]);
  });
});
