import { randomBytes } from 'node:crypto';
import type net from 'node:net';
import fc from 'fast-check';
import { firstValueFrom } from 'rxjs';
import {
  type Address,
  type Client,
  connect,
  type Connection,
  type ConnectOptions,
  type ListenOptions,
  relay,
  type SocketError,
} from 'rxjs-sockets';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { type Place, realPlaces, tcp, unix } from '../support/transport/places.js';
import { clientAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawClient, rawServer } from '../support/sockets/plain-sockets.js';
import { readAll, readBytes } from '../support/sockets/read-socket.js';
import { Recording } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';
import { outcome, digest, setImmediateLoop } from '../support/channel/relayed.js';

interface Proxy {
  readonly client: net.Socket;
  readonly server: net.Socket;
  /** The proxy's connections: `front` leads to the client, and `back` leads to the server. */
  readonly front: Connection;
  readonly back: Connection;
  readonly relayed: Recording<never>;
}

/** Connects a plain client to a plain server through a relay. */
async function proxy(
  frontPlace: Place,
  backPlace: Place,
  options: ListenOptions & ConnectOptions = { halfOpen: true },
): Promise<Proxy> {
  let accepted: (socket: net.Socket) => void = () => undefined;
  const server = new Promise<net.Socket>((resolve) => (accepted = resolve));
  const address = await rawServer(backPlace, (socket) => accepted(socket));
  const { connection: back } = await clientAt(backPlace, address, options);
  let arrived: (connection: Connection) => void = () => undefined;
  const front = new Promise<Connection>((resolve) => (arrived = resolve));
  const { address: here } = await serverAt(frontPlace, (connection) => arrived(connection));
  const client = await rawClient(here);
  const relayed = new Recording(relay((await front).bytes, back.bytes));
  onTestFinished(() => relayed.subscription.unsubscribe());
  return { client, server: await server, front: await front, back, relayed };
}

const routes = realPlaces.flatMap((from) => realPlaces.map((to) => [from.name, to.name, from, to] as const));

describe.each(routes)('relay from %s to %s', (_from, _to, from, to) => {
  it('K6: relay forwards both directions at the same time, completely and in order, and completes when both directions have ended', async () => {
    const { client, server, front, back, relayed } = await proxy(from, to);
    const up = randomBytes(3_000_000);
    const down = randomBytes(5_000_000);
    client.end(up);
    server.end(down);
    const [gotDown, gotUp] = await Promise.all([readAll(client), readAll(server)]);
    expect(digest(gotUp)).toBe(digest(up));
    expect(digest(gotDown)).toBe(digest(down));
    expect(await relayed.end()).toBe('complete');
    expect(await Promise.all([outcome(front), outcome(back)])).toEqual(['finished', 'finished']);
    expect(relayed.values).toEqual([]);
  });

  it('K6: relay forwards the FIN of the client, and the direction from the server to the client continues', async () => {
    const { client, server, relayed } = await proxy(from, to);
    client.end('request');
    expect((await readAll(server)).toString()).toBe('request');
    expect(relayed.endings).toEqual([]);
    server.write('first, ');
    expect((await readBytes(client, 7)).toString()).toBe('first, ');
    server.end('then the rest');
    expect((await readAll(client)).toString()).toBe('then the rest');
    expect(await relayed.end()).toBe('complete');
  });

  it('K6: relay forwards the FIN of the server, and the direction from the client to the server continues', async () => {
    const { client, server, relayed } = await proxy(from, to);
    server.end('greeting');
    expect((await readAll(client)).toString()).toBe('greeting');
    expect(relayed.endings).toEqual([]);
    client.write('first, ');
    expect((await readBytes(server, 7)).toString()).toBe('first, ');
    client.end('then the rest');
    expect((await readAll(server)).toString()).toBe('then the rest');
    expect(await relayed.end()).toBe('complete');
  });

  it('K6: a client that does not read makes the server wait', async () => {
    const { client, server, front, back, relayed } = await proxy(from, to);
    client.pause();
    const much = Buffer.alloc(30_000_000, 'x');
    server.end(much);
    // The relay reads until the kernel's buffers for the client are full. The relay itself buffers only a bounded
    // number of bytes.
    let read = -1;
    while (read !== back.stats.bytesRead) {
      read = back.stats.bytesRead;
      await turns(200);
    }
    expect(read).toBeLessThan(20_000_000);
    expect(front.bytes.bufferedBytes).toBeLessThanOrEqual(65_536 * 2);
    expect(digest(await readAll(client))).toBe(digest(much));
    client.end();
    expect(await relayed.end()).toBe('complete');
    server.destroy();
  });

  it('K6: unsubscribing from relay leaves both connections open, and data that was not forwarded is not lost', async () => {
    const { client, server, front, back, relayed } = await proxy(from, to);
    client.write('passed on');
    expect((await readBytes(server, 9)).toString()).toBe('passed on');
    relayed.subscription.unsubscribe();
    client.write('not any more');
    server.write('neither');
    expect((await firstValueFrom(front.bytes)).toString()).toBe('not any more');
    expect((await firstValueFrom(back.bytes)).toString()).toBe('neither');
    front.bytes.next('by hand');
    back.bytes.next('as well');
    expect((await readBytes(client, 7)).toString()).toBe('by hand');
    expect((await readBytes(server, 7)).toString()).toBe('as well');
    expect(relayed.endings).toEqual([]);
    const again = new Recording(relay(front.bytes, back.bytes));
    client.end('more');
    server.end();
    expect((await readAll(server)).toString()).toBe('more');
    expect(await again.end()).toBe('complete');
    client.resume();
  });

  it('K6: if the connection to the client fails, the relay and the connection to the server also fail, and `closed` of both connections reports the failure', async () => {
    const { client, server, front, back, relayed } = await proxy(from, to);
    server.resume();
    // Over a unix socket, the server sees an end instead of a reset, because the proxy leaves no input unread (C20).
    const over = new Promise((resolve) => {
      server.once('end', resolve);
      server.once('close', resolve);
    });
    // A unix socket is reset only if input is left unread. So send the client more bytes than Node reads ahead, but
    // not more than the kernel can hold.
    client.pause();
    server.write(Buffer.alloc(150_000));
    await until(() => back.stats.bytesRead === 150_000 && front.bytes.bufferedBytes === 0);
    await turns();
    if (from === tcp) client.resetAndDestroy();
    else client.destroy();
    const failure = await relayed.end();
    // Either a read or a write of the proxy is the first to notice the reset.
    expect(['ECONNRESET', 'EPIPE']).toContain((failure as SocketError).code);
    expect(await firstValueFrom(front.closed)).toMatchObject({ reason: 'failed', error: failure });
    expect(await firstValueFrom(back.closed)).toMatchObject({
      reason: 'failed',
      error: { code: 'ERR_HANDLER', cause: failure },
    });
    await over;
  });

  it('K6: a local destroy of one connection fails the relay and the other connection, even if one direction has already ended', async () => {
    for (const ended of ['none', 'client', 'server'] as const) {
      const { client, server, front, back, relayed } = await proxy(from, to);
      client.on('close', () => undefined);
      if (ended === 'client') {
        client.end();
        await readAll(server);
      } else if (ended === 'server') {
        server.end();
        await readAll(client);
      }
      front.destroy('enough');
      expect(await relayed.end()).toMatchObject({ code: 'ERR_CLOSED', cause: 'enough' });
      expect(await firstValueFrom(back.closed)).toMatchObject({ reason: 'failed', error: { code: 'ERR_HANDLER' } });
      client.destroy();
      server.destroy();
    }
  });

  it('K6: without halfOpen, the client gets everything that the server sent before the FIN of the server', async () => {
    // The server ends while the client is still sending, and the client is slow to read.
    const { client, server, front, back, relayed } = await proxy(from, to, { halfOpen: false });
    client.pause();
    const reply = randomBytes(8_000_000);
    const sending = setImmediateLoop(() => client.writableNeedDrain || client.write('x'.repeat(10_000)));
    server.resume();
    server.end(reply);
    await until(() => front.bytes.bufferedBytes > 0);
    await turns(50);
    const got = await readAll(client);
    sending.unsubscribe();
    expect(got.length).toBe(reply.length);
    expect(digest(got)).toBe(digest(reply));
    client.end();
    expect(await relayed.end()).toBe('complete');
    expect(await Promise.all([outcome(front), outcome(back)])).toEqual(['finished', 'finished']);
  });

  it('K6: a client that begins to read only after it has sent everything gets the whole reply', async () => {
    const { client, server, front, back, relayed } = await proxy(from, to, { halfOpen: false });
    client.pause();
    server.resume();
    // The reply is so long that the proxy still buffers a part when the whole reply has arrived at the proxy.
    let length = 0;
    while (front.bytes.bufferedBytes === 0) {
      server.write(Buffer.alloc(10_000, 'r'));
      length += 10_000;
      await until(() => back.stats.bytesRead === length);
      await turns(2);
    }
    server.end();
    await until(() => back.bytes.closed);
    // The client sends far more than the kernel's buffers hold.
    await new Promise<void>((resolve) => client.end(Buffer.alloc(20_000_000, 'x'), resolve));
    expect((await readAll(client)).equals(Buffer.alloc(length, 'r'))).toBe(true);
    expect(await relayed.end()).toBe('complete');
    expect(await Promise.all([outcome(front), outcome(back)])).toEqual(['finished', 'finished']);
  });

  it('K6: relay reads a connection to its end, even if the sending side of the connection has already ended', async () => {
    const { client, server, front, relayed } = await proxy(from, to);
    front.bytes.complete();
    expect((await readAll(client)).toString()).toBe('');
    server.write('for nobody');
    client.write('still passed on');
    expect((await readBytes(server, 15)).toString()).toBe('still passed on');
    expect(relayed.endings).toEqual([]);
    client.end();
    await readAll(server);
    server.end();
    expect(await relayed.end()).toBe('complete');
  });

  it('K6: in any order of writes and ends, each side gets everything that the other side sent', async () => {
    type Act = { readonly who: 'client' | 'server'; readonly size: number } | 'turn';
    const act: fc.Arbitrary<Act> = fc.oneof(
      fc.record({ who: fc.constantFrom('client', 'server'), size: fc.oneof(fc.nat(100), fc.nat(200_000)) }),
      fc.constant('turn' as const),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(act, { maxLength: 20 }),
        fc.constantFrom('client', 'server'),
        async (acts, firstToEnd) => {
          const { client, server, front, back, relayed } = await proxy(from, to);
          const sockets = { client, server };
          const sent = { client: [] as Buffer[], server: [] as Buffer[] };
          const got = { client: readAll(client), server: readAll(server) };
          for (const step of acts) {
            if (step === 'turn') await turns(1);
            else {
              const bytes = randomBytes(step.size);
              sent[step.who].push(bytes);
              sockets[step.who].write(bytes);
            }
          }
          const other = firstToEnd === 'client' ? 'server' : 'client';
          sockets[firstToEnd].end();
          expect(digest(await got[other])).toBe(digest(Buffer.concat(sent[firstToEnd])));
          const last = randomBytes(1_000);
          sent[other].push(last);
          sockets[other].end(last);
          expect(digest(await got[firstToEnd])).toBe(digest(Buffer.concat(sent[other])));
          expect(await relayed.end()).toBe('complete');
          expect(await Promise.all([outcome(front), outcome(back)])).toEqual(['finished', 'finished']);
        },
      ),
      { numRuns: 25 },
    );
  });
});

describe.each(realPlaces.map((place) => [place.name, place] as const))('relay to a client over %s', (_name, place) => {
  async function proxyServer(upstream: Address, options: ConnectOptions = {}) {
    const errors: unknown[] = [];
    const clients: Client[] = [];
    let completed = 0;
    const { address, server } = await serverAt(place, ({ bytes }) => {
      const client = connect(upstream, options);
      clients.push(client);
      const subscription = relay(bytes, client.data).subscribe({
        error: (error: unknown) => errors.push(error),
        complete: () => completed++,
      });
      onTestFinished(() => subscription.unsubscribe());
    });
    return { address, server, errors, clients, completed: () => completed };
  }

  it('K6: a proxy can relay many clients to an echo server at the same time', async () => {
    const upstream = await rawServer(place, (socket) => socket.pipe(socket));
    const { address, errors, completed } = await proxyServer(upstream);
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        const client = await rawClient(address);
        const bytes = randomBytes(200_000);
        client.end(bytes);
        expect(digest(await readAll(client))).toBe(digest(bytes));
      }),
    );
    await until(() => completed() === 20);
    expect(errors).toEqual([]);
  });

  it('K6: with halfOpen, the client can still send after the FIN of the server', async () => {
    let accepted: (socket: net.Socket) => void = () => undefined;
    const end = new Promise<net.Socket>((resolve) => (accepted = resolve));
    const upstream = await rawServer(place, (socket) => accepted(socket));
    const { address, errors, completed } = await proxyServer(upstream, { halfOpen: true });
    const client = await rawClient(address);
    const server = await end;
    server.end('greeting');
    expect((await readAll(client)).toString()).toBe('greeting');
    await turns();
    client.end('answer');
    expect((await readAll(server)).toString()).toBe('answer');
    await until(() => completed() === 1);
    expect(errors).toEqual([]);
  });

  it('K6: if the server cannot be reached, the relay fails, and the connection to the client ends', async () => {
    const { address: dead, subscription } = await serverAt(place, () => undefined);
    subscription.unsubscribe();
    const { address, errors } = await proxyServer(dead);
    const client = await rawClient(address);
    await new Promise((resolve) => {
      client.once('close', resolve);
      client.once('end', () => client.destroy());
      client.resume();
    });
    expect(errors).toMatchObject([{ code: place === unix ? 'ENOENT' : 'ECONNREFUSED' }]);
  });
});
