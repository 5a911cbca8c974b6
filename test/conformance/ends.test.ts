import type net from 'node:net';
import { concat, firstValueFrom, map, of, throwError } from 'rxjs';
import { type Connection, listen, relay, sendTo, serve } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { settled } from '../support/scheduling/event-loop.js';
import { allPlaces, type Place, realPlaces, tcp } from '../support/transport/places.js';
import { acceptedAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { abort, endingOf, readAll } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { until } from '../support/scheduling/event-loop.js';
import { peerAt } from '../support/sockets/peer.js';

type Lines = Connection<string, string>;

const boom = new Error('boom');

async function two(place: Place) {
  const arrived: Lines[] = [];
  const { server, address } = await serverAt<string, string>(place, (connection) => arrived.push(connection), {
    codec: lines(),
  });
  const incidents = record(server.incidents);
  const peers = [await peerAt(place, address), await peerAt(place, address)];
  await until(() => arrived.length === 2);
  const [one, other] = arrived as [Lines, Lines];
  return { one, other, peers, incidents };
}

const failing = <T>(value: T) =>
  concat(
    of(value),
    throwError(() => boom),
  );

describe.each(allPlaces.map((place) => [place.name, place] as const))('failing sources on %s', (_name, place) => {
  it.each<[string, (one: Lines, other: Lines) => void]>([
    [
      'a Flow sent by `flow.subscribe(channel)`',
      ({ data }) =>
        data
          .pipe(
            map((line) => {
              if (line === 'bad') throw boom;
              return line;
            }),
          )
          .subscribe(data),
    ],
    [
      'sendTo',
      ({ data }) =>
        void data.subscribe(
          () =>
            void failing('x')
              .pipe(sendTo(data))
              .subscribe({ error: () => undefined }),
        ),
    ],
  ])('F7, C8: source errors fail the connection with ERR_HANDLER and the error as cause: %s', async (_kind, begin) => {
    const { one, other, peers, incidents } = await two(place);
    begin(one, other);
    peers[0]?.write('bad\n');
    const closed = await firstValueFrom(one.closed);
    expect(closed).toMatchObject({ reason: 'failed', error: { code: 'ERR_HANDLER', cause: boom } });
    expect(incidents.values).toEqual([closed.error]);
    expect(other.data.closed).toBe(false);
  });

  it('F7, C8: if the values of one connection are sent on a second connection, and the first connection fails, the second connection fails with ERR_HANDLER', async () => {
    const { one, other, incidents } = await two(place);
    one.data.pipe(map((line) => line)).subscribe(other.data);
    one.data.error(boom);
    expect(await firstValueFrom(one.closed)).toMatchObject({
      reason: 'destroyed',
      error: { code: 'ERR_CLOSED', cause: boom },
    });
    const closed = await firstValueFrom(other.closed);
    expect(closed).toMatchObject({
      reason: 'failed',
      error: { code: 'ERR_HANDLER', cause: { code: 'ERR_CLOSED', cause: boom } },
    });
    expect(incidents.values).toEqual([closed.error]);
  });

  it('C8: an error of one connection of a relay fails the other connection with ERR_HANDLER', async () => {
    const { one, other } = await two(place);
    const recording = record(relay(one.data, other.data));
    one.destroy(boom);
    expect(await recording.end()).toMatchObject({ code: 'ERR_CLOSED', cause: boom });
    expect(await firstValueFrom(one.closed)).toMatchObject({ reason: 'destroyed' });
    expect(await firstValueFrom(other.closed)).toMatchObject({
      reason: 'failed',
      error: { code: 'ERR_HANDLER', cause: { code: 'ERR_CLOSED' } },
    });
  });

  it('C8: an echo does not turn the error of its own connection into ERR_HANDLER', async () => {
    const { one, incidents } = await two(place);
    one.data.subscribe(one.data);
    one.destroy(boom);
    expect(await firstValueFrom(one.closed)).toMatchObject({
      reason: 'destroyed',
      error: { code: 'ERR_CLOSED', cause: boom },
    });
    expect(incidents.values).toEqual([]);
  });

  it('C8: if the source of sendFrom fails, the channel stays open', async () => {
    const { one, peers } = await two(place);
    const recording = record(one.data.sendFrom(failing('x')));
    expect(await recording.end()).toBe(boom);
    one.data.next('more');
    await peers[0]?.receives('x\nmore\n');
  });

  it('C8: after error() or destroy(), closed reports `destroyed`, whatever the reason', async () => {
    const { one, other, incidents } = await two(place);
    one.data.error(boom);
    other.destroy(boom);
    for (const { closed } of [one, other]) {
      expect(await firstValueFrom(closed)).toMatchObject({
        reason: 'destroyed',
        error: { code: 'ERR_CLOSED', cause: boom },
      });
    }
    expect(incidents.values).toEqual([]);
  });
});

describe.each(realPlaces.map((place) => [place.name, place] as const))(
  'the end of a connection to a plain peer on %s',
  (_name, place) => {
    it('C12: closed reports a failure, even if a subscriber destroys the connection when the subscriber is notified of the failure', async () => {
      const { near, raw } = await acceptedAt<string, string>(place, { codec: lines() });
      const recording: unknown[] = [];
      near.data.subscribe({
        error: (error: unknown) => {
          recording.push(error);
          near.destroy('mine');
        },
      });
      await abort(raw, near);
      const closed = await firstValueFrom(near.closed);
      expect(closed).toMatchObject({ reason: 'failed', error: { code: 'ECONNRESET' } });
      expect(recording).toEqual([closed.error]);
    });

    it('C12: closed reports a failure, even if a sender destroys the connection when the sender is notified of the failure', async () => {
      const { near, raw } = await acceptedAt<string, string>(place, { codec: lines() });
      const send = (async () => {
        for (;;) await near.data.send('x'.repeat(60_000));
      })();
      send.catch(() => near.destroy('mine'));
      near.data.writable.subscribe({ complete: () => near.data.error('mine, too') });
      await until(() => near.data.bufferedBytes > 0);
      await abort(raw, near);
      await expect(send).rejects.toMatchObject({ code: expect.stringMatching(/ECONNRESET|EPIPE/) as string });
      expect(await firstValueFrom(near.closed)).toMatchObject({
        reason: 'failed',
        error: { code: expect.stringMatching(/ECONNRESET|EPIPE/) as string },
      });
    });

    it('C23: if the event loop is busy for longer than closeTimeout right after close(), the connection still ends cleanly', async () => {
      for (const busy of [105, 112, 160, 350]) {
        const { near, raw } = await acceptedAt<string, string>(place, { codec: lines(), closeTimeout: 100 });
        raw.resume();
        raw.on('end', () => raw.end());
        near.data.next('goodbye');
        void near.close();
        const until = performance.now() + busy;
        while (performance.now() < until);
        expect(await firstValueFrom(near.closed), `${busy} ms`).toMatchObject({ reason: 'finished' });
      }
    });

    it('C23: if the event loop is busy for longer than the deadline of a shutdown, the connection still ends cleanly', async () => {
      const server = listen<string, string>(await place.address(), { codec: lines() });
      const outcomes = record(server.pipe(serve(({ data }) => data)));
      onTestFinished(() => outcomes.subscription.unsubscribe());
      const raw = await rawClient(await firstValueFrom(server.listening));
      raw.on('end', () => raw.end());
      raw.resume();
      await until(() => server.connections.size === 1);
      const shutdown = server.shutdown({ deadline: 60 });
      const end = performance.now() + 150;
      while (performance.now() < end);
      await shutdown;
      expect(outcomes.values).toMatchObject([{ reason: 'finished' }]);
    });
  },
);

describe('destroy after complete on TCP', () => {
  async function write(raw: net.Socket): Promise<string> {
    return new Promise((resolve) => {
      raw.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
      raw.write('more', (error) =>
        resolve(
          error === undefined || error === null ? 'accepted' : ((error as NodeJS.ErrnoException).code ?? 'error'),
        ),
      );
    });
  }

  it('C20: if the peer has not finished, a destroy in a later turn than complete() resets the connection', async () => {
    const { near, raw } = await acceptedAt<string, string>(tcp, { codec: lines() });
    near.data.next('all');
    near.data.complete();
    expect((await readAll(raw)).toString()).toBe('all\n');
    near.destroy();
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'destroyed' });
    await settled();
    expect(await write(raw)).toMatch(/ECONNRESET|EPIPE/);
  });

  it('C20: a destroy in the same turn as complete() resets the connection', async () => {
    const { near, raw } = await acceptedAt<string, string>(tcp, { codec: lines() });
    near.data.next('all');
    near.data.complete();
    const how = endingOf(raw);
    near.destroy();
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'destroyed' });
    expect(await how).toMatch(/ECONNRESET|EPIPE/);
  });

  it('C20: a destroy over TLS resets the connection', async () => {
    const place = allPlaces.find(({ name }) => name === 'tls') as Place;
    const { near, raw } = await acceptedAt<string, string>(place, { codec: lines() });
    near.data.next('all');
    near.data.complete();
    expect((await readAll(raw)).toString()).toBe('all\n');
    near.destroy();
    await firstValueFrom(near.closed);
    await settled();
    expect(await write(raw)).toMatch(/ECONNRESET|EPIPE/);
  });

  it('C20: a destroy after the peer has finished does not reset the connection', async () => {
    const { near, raw } = await acceptedAt<string, string>(tcp, { codec: lines(), halfOpen: true });
    const recording = record(near.data);
    raw.end('one\n');
    expect(await recording.end()).toBe('complete');
    near.data.next('all');
    near.data.complete();
    await until(() => near.stats.bytesWritten === 4);
    near.destroy();
    expect((await readAll(raw)).toString()).toBe('all\n');
  });
});
