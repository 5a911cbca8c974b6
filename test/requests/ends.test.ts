import '../support/leaks.js';
import type net from 'node:net';
import { firstValueFrom, NEVER, Subject } from 'rxjs';
import {
  type Address,
  connect,
  type Connection,
  type ConnectionState,
  type ConnectOptions,
  requests,
  serve,
  type SocketError,
} from 'rxjs-sockets';
import { jsonLines, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { lineServer } from '../support/sockets/line-server.js';
import { type Place, places, realPlaces } from '../support/transport/places.js';
import { acceptedAt, clientAt, pairAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { abort, readAll, readBytes } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { scriptedTransport } from '../support/transport/scripted-transport.js';
import { settled } from '../support/scheduling/event-loop.js';
import { turns, until } from '../support/scheduling/event-loop.js';

const text = { codec: lines() };
const failing = (code: string): unknown => expect.objectContaining({ name: 'SocketError', code });
const idOf = (message: unknown): number | undefined => (message as { readonly id?: number }).id;

/** The error code of each rejected promise, and the value of each fulfilled promise. */
const outcomes = (answers: readonly Promise<unknown>[]): Promise<unknown[]> =>
  Promise.all(answers.map((answer) => answer.then(String, (error: unknown) => (error as SocketError).code)));

/** A client that reconnects, by default after 1 ms. It is subscribed to until the end of the test. */
function persistent<In, Out>(place: Place, address: Address, options: ConnectOptions<In, Out>) {
  const client = connect<In, Out>(address, { ...place.options, reconnect: { delay: 1 }, ...options });
  const states = record(client);
  onTestFinished(() => states.subscription.unsubscribe());
  return { client, states };
}

function connectionOf<In, Out>(states: readonly ConnectionState<In, Out>[]): Connection<In, Out> {
  const state = states.at(-1);
  if (state?.status !== 'connected') throw new Error(`the client is ${state?.status ?? 'idle'}`);
  return state.connection;
}

describe.each(realPlaces)('requests whose connection ends, over $name', (place) => {
  it('K21: the FIN of the server rejects pending requests with ERR_CLOSED', async () => {
    const server = await lineServer(place);
    const { connection } = await clientAt(place, server.address, text);
    const asked = requests(connection.data);
    const answers = ['one', 'two'].map((line) => asked.ask(line));
    await server.received(2);
    server.sockets[0]?.end('1\n');
    expect(await outcomes(answers)).toEqual(['1', 'ERR_CLOSED']);
    expect(asked.pending).toBe(0);
    expect(await outcomes([asked.ask('three')])).toEqual(['ERR_CLOSED']);
  });

  it('K21: on a half-open accepted connection, the FIN of the client rejects pending and new requests', async () => {
    const { near, raw } = await acceptedAt(place, text);
    const asked = requests(near.data);
    const answers = ['one', 'two'].map((line) => asked.ask(line));
    raw.end('1\n');
    expect(await outcomes(answers)).toEqual(['1', 'ERR_CLOSED']);
    expect(near.data.closed).toBe(false);
    expect(await outcomes([asked.ask('three')])).toEqual(['ERR_CLOSED']);
    near.data.complete();
    expect(String(await readAll(raw))).toBe('one\ntwo\n');
  });

  it('K21: a reset rejects pending requests with ECONNRESET, after the answers that arrived before it', async () => {
    const server = await lineServer(place);
    const { connection } = await clientAt(place, server.address, text);
    const asked = requests(connection.data);
    const answers = ['one', 'two'].map((line) => asked.ask(line));
    await server.received(2);
    const [socket] = server.sockets as [net.Socket];
    socket.write('1\n');
    await answers[0];
    await abort(socket, connection);
    expect(await outcomes(answers)).toEqual(['1', 'ECONNRESET']);
  });

  it('K21: a local destroy rejects pending requests at once with ERR_CLOSED, even while the channel is held', async () => {
    const server = await lineServer(place);
    const { connection } = await clientAt(place, server.address, text);
    const asked = requests(connection.data);
    const hold = connection.data.hold();
    const answer = asked.ask('one');
    connection.destroy('enough');
    expect(asked.pending).toBe(0);
    await expect(answer).rejects.toMatchObject({ code: 'ERR_CLOSED', cause: 'enough' });
    hold.release();
  });

  it('K21: if a connection is lost while its channel is held, pending requests are rejected at once', async () => {
    const server = await lineServer(place);
    const { connection } = await clientAt(place, server.address, text);
    const asked = requests(connection.data);
    const hold = connection.data.hold();
    const answer = asked.ask('one');
    await server.received(1);
    await abort(server.sockets[0]!, connection);
    expect(await outcomes([answer])).toEqual(['ECONNRESET']);
    hold.release();
  });

  it('K21: sent requests are still answered after complete(), and new requests are rejected', async () => {
    const server = await lineServer(place);
    const { connection } = await clientAt(place, server.address, text);
    const asked = requests(connection.data);
    const answer = asked.ask('one');
    connection.data.complete();
    const refused = asked.ask('two');
    await server.received(1);
    server.sockets[0]?.write('1\n');
    expect(await outcomes([answer, refused])).toEqual(['1', 'ERR_CLOSED']);
  });

  it('K21: an unhandled rejection of a request does not end the process', async () => {
    const server = await lineServer(place);
    const { connection } = await clientAt(place, server.address, text);
    const asked = requests(connection.data, { maxPending: 2 });
    for (const line of ['one', 'two', 'three']) void asked.ask(line);
    await server.received(2);
    server.sockets[0]?.destroy();
    await firstValueFrom(connection.closed);
    await turns();
    expect(asked.pending).toBe(0);
  });
});

describe.each(realPlaces)('requests on a client with reconnect, over $name', (place) => {
  it('K21: a request made while the client is disconnected goes out on the next connection', async () => {
    const server = await lineServer(place, (line, socket) => socket.write(`${line}!\n`));
    const dialAgain = new Subject<void>();
    const { client, states } = persistent(place, server.address, { ...text, reconnect: { delay: () => dialAgain } });
    const asked = requests(client.data);
    expect(await asked.ask('one')).toBe('one!');
    server.sockets[0]?.destroy();
    await until(() => states.values.at(-1)?.status === 'waiting');
    const answers = ['two', 'three'].map((line) => asked.ask(line));
    dialAgain.next();
    expect(await outcomes(answers)).toEqual(['two!', 'three!']);
    expect(server.sockets).toHaveLength(2);
    expect(server.lines).toEqual(['one', 'two', 'three']);
  });

  it.each(['end', 'reset'])(
    'K21: a sent request is rejected at the %s of its connection, and not sent again',
    async (how) => {
      const server = await lineServer(place);
      const { client, states } = persistent(place, server.address, text);
      const asked = requests(client.data);
      const answers = ['one', 'two'].map((line) => asked.ask(line));
      await server.received(2);
      const [socket] = server.sockets as [net.Socket];
      if (how === 'end') socket.end('1\n');
      else await abort(socket, connectionOf(states.values));
      const lost = how === 'end' ? ['1', 'ERR_CLOSED'] : ['ECONNRESET', 'ECONNRESET'];
      expect(await outcomes(answers)).toEqual(lost);
      const again = asked.ask('two, again');
      await server.received(3);
      server.sockets[1]?.write('2\n');
      expect(await again).toBe('2');
      expect(server.lines).toEqual(['one', 'two', 'two, again']);
    },
  );

  it('K21: a request of which no byte was written moves to the next connection, and stays pending', async () => {
    const server = await lineServer(place);
    const options = { codec: lines({ maxLength: 2 ** 24 }), maxBuffered: 2 ** 26 };
    const { client } = persistent(place, server.address, options);
    await until(() => server.sockets.length === 1);
    const [socket] = server.sockets as [net.Socket];
    socket.pause();
    const asked = requests(client.data);
    // The kernel's buffers are full in the middle of this request.
    const cut = asked.ask('x'.repeat(2 ** 23));
    await until(() => client.data.bufferedBytes < 2 ** 23);
    await settled();
    const whole = ['one', 'two'].map((line) => asked.ask(line));
    expect(asked.pending).toBe(3);
    socket.destroy();
    await expect(cut).rejects.toMatchObject({ name: 'SocketError' });
    await server.received(2);
    expect(asked.pending).toBe(2);
    server.sockets[1]?.write('1\n2\n');
    expect(await outcomes(whole)).toEqual(['1', '2']);
    expect(server.lines).toEqual(['one', 'two']);
  });

  it('K21: a message left over from an earlier connection is not an answer on the next connection', async () => {
    const server = await lineServer(place);
    const { client, states } = persistent(place, server.address, text);
    const asked = requests(client.data);
    const lost = asked.ask('one');
    await server.received(1);
    const connection = connectionOf(states.values);
    const hold = client.data.hold();
    server.sockets[0]?.end('1\n');
    expect(await outcomes([lost])).toEqual(['ERR_CLOSED']);
    expect(connection.stats.bytesRead).toBe(2);
    await until(() => states.values.at(-1)?.status === 'connected');
    const next = asked.ask('two');
    await server.received(2);
    hold.release();
    await turns();
    expect(asked.pending).toBe(1);
    server.sockets[1]?.write('2\n');
    expect(await next).toBe('2');
  });

  it('K21: a message left over from an earlier connection does not answer a new request with the same id', async () => {
    const server = await lineServer(place);
    const { client, states } = persistent<unknown, unknown>(place, server.address, { codec: jsonLines() });
    const asked = requests(client.data, { answers: idOf });
    const lost = asked.ask('one', 1);
    await server.received(1);
    const hold = client.data.hold();
    server.sockets[0]?.end('{"id":1,"text":"old"}\n');
    expect(await outcomes([lost])).toEqual(['ERR_CLOSED']);
    await until(() => states.values.at(-1)?.status === 'connected');
    const next = asked.ask('two', 1);
    await server.received(2);
    hold.release();
    server.sockets[1]?.write('{"id":1,"text":"new"}\n');
    expect(await next).toEqual({ id: 1, text: 'new' });
  });

  it('K21: an exception in `answers` ends one connection, and the client continues', async () => {
    const server = await lineServer(place, (line, socket) => socket.write(line === '1' ? 'null\n' : '{"id":2}\n'));
    const { client, states } = persistent<unknown, unknown>(place, server.address, { codec: jsonLines() });
    const asked = requests(client.data, { answers: idOf });
    expect(await outcomes([asked.ask(1, 1)])).toEqual(['ERR_HANDLER']);
    expect(await asked.ask(2, 2)).toEqual({ id: 2 });
    expect(states.values).toContainEqual(
      expect.objectContaining({ status: 'disconnected', error: failing('ERR_HANDLER') }),
    );
  });

  it.each([
    ['garbage', 'ERR_FRAME_INVALID'],
    ['the end', 'ERR_CLOSED'],
  ])('K21: once the server has sent %s, requests are rejected, but the connection stays open', async (what, code) => {
    const server = await lineServer(place, (_line, socket) => {
      if (what === 'garbage') socket.write('{\n');
      else socket.end();
    });
    const options = { codec: jsonLines<unknown>(), halfOpen: true, closeTimeout: 0 };
    const { client, states } = persistent<unknown, unknown>(place, server.address, options);
    const asked = requests(client.data, { answers: idOf, timeout: 0 });
    expect(await outcomes([1, 2].map((id) => asked.ask('?', id)))).toEqual([code, code]);
    expect(connectionOf(states.values).remote).toEqual(server.address);
    // A request on the half-open connection is rejected as well.
    if (what === 'the end') expect(await outcomes([asked.ask('?', 3)])).toEqual(['ERR_CLOSED']);
    connectionOf(states.values).destroy();
  });

  it('K21: the end of the client rejects all requests, even requests that wait for a connection', async () => {
    const server = await lineServer(place);
    const { client, states } = persistent(place, server.address, { ...text, reconnect: { delay: () => NEVER } });
    const asked = requests(client.data);
    const sent = asked.ask('one');
    await server.received(1);
    server.sockets[0]?.destroy();
    await outcomes([sent]);
    await until(() => states.values.at(-1)?.status === 'waiting');
    const waiting = asked.ask('two');
    client.data.error('enough');
    expect(await outcomes([waiting])).toEqual(['ERR_CLOSED']);
    expect(await states.end()).toMatchObject({ code: 'ERR_CLOSED', cause: 'enough' });
  });
});

describe.each(realPlaces)('requests of a server, over $name', (place) => {
  it('K21: a client that resets its connection affects no other client, even with no error handler (S19)', async () => {
    const { near, raw } = await acceptedAt(place, text);
    const asked = requests(near.data);
    asked.events.subscribe();
    void asked.ask('one');
    await readBytes(raw, 4);
    await abort(raw, near);
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed' });
    await turns();
    expect(asked.pending).toBe(0);
  });

  it('K21: a client that never answers affects no other client, even if an async subscriber fails (S19)', async () => {
    const { server, address } = await serverAt<string, string>(place, () => undefined, text);
    const codes: unknown[] = [];
    const attend = async ({ data }: Connection<string, string>): Promise<void> => {
      const asked = requests(data, { answers: (line) => line, timeout: 10, maxPending: 1 });
      const first = asked.ask('one', '1');
      codes.push(...(await outcomes([asked.ask('two', '2'), first])));
      await first;
    };
    const subscription = server.subscribe((connection) => attend(connection));
    await rawClient(address);
    await until(() => codes.length === 2);
    await turns();
    expect(codes).toEqual(['ERR_OVERFLOW', 'ERR_TIMEOUT_REQUEST']);
    subscription.unsubscribe();
  });

  it('K21: a request that times out in a handler of `serve` ends its connection with ERR_HANDLER (S6)', async () => {
    const { server, address } = await serverAt<string, string>(place, () => undefined, text);
    const incidents = record(server.incidents);
    const served = record(
      server.pipe(serve(({ data }) => requests(data, { answers: (line) => line, timeout: 10 }).ask('one', '1'))),
    );
    await rawClient(address);
    expect(await served.count(1)).toMatchObject([{ reason: 'failed', error: { code: 'ERR_HANDLER' } }]);
    expect(incidents.values).toMatchObject([{ code: 'ERR_HANDLER', cause: { code: 'ERR_TIMEOUT_REQUEST' } }]);
    served.subscription.unsubscribe();
  });

  it('K21: a handler of `serve` does not fail if its client ends instead of answering (S6)', async () => {
    const { server, address } = await serverAt<string, string>(place, () => undefined, text);
    const incidents = record(server.incidents);
    const served = record(server.pipe(serve(({ data }) => requests(data).ask('one'))));
    const raw = await rawClient(address);
    await readBytes(raw, 4);
    raw.end();
    raw.resume();
    expect(await served.count(1)).toMatchObject([{ reason: 'finished' }]);
    expect(incidents.values).toEqual([]);
    served.subscription.unsubscribe();
  });

  it('K21: a shutdown rejects pending requests, and does not wait for them (S7)', async () => {
    let asked: Promise<string> | undefined;
    const { server, address } = await serverAt<string, string>(
      place,
      ({ data }) => (asked = requests(data, { timeout: 0 }).ask('one')),
      text,
    );
    const raw = await rawClient(address);
    await readBytes(raw, 4);
    raw.on('end', () => raw.end()).resume();
    await server.shutdown({ deadline: 0 });
    expect(await outcomes([asked!])).toEqual(['ERR_CLOSED']);
  });
});

describe.each(realPlaces)('requests on a client that has ended, over $name', (place) => {
  it('K21: the client emits what the old connection received, then dials for the new request (K8)', async () => {
    const server = await lineServer(place, (line, socket) => socket.write(`${line}!\n`));
    const client = connect<string, string>(server.address, { ...place.options, ...text });
    const states = record(client);
    await until(() => server.sockets.length === 1);
    server.sockets[0]!.end('left\n');
    expect(await states.end()).toBe('complete');
    const asked = requests(client.data);
    const events = record(asked.events);
    expect(await asked.ask('one')).toBe('one!');
    expect([events.values, events.endings]).toEqual([['left'], ['complete']]);
    expect(server.sockets).toHaveLength(2);
  });
});

describe('requests on a client without subscribers, over a scripted transport', () => {
  it('K21: the id of a timed-out request is free again once the old connection has written the request', async () => {
    const { transport, sockets } = scriptedTransport((socket) => (socket.eager = sockets.length > 0));
    const client = connect('memory:there', { transport, codec: lines() });
    const asked = requests(client.data, { answers: (line) => line.split(' ')[0], timeout: 10 });
    expect(await outcomes([asked.ask('1 one', '1')])).toEqual(['ERR_TIMEOUT_REQUEST']);
    const watching = record(client);
    expect(await outcomes([asked.ask('1 again', '1')])).toEqual(['ERR_OPTION_INVALID']);
    await until(() => sockets.length === 2);
    // The first connection is closing. Only now does it write the rest of the timed-out request.
    sockets[0]!.take();
    await turns();
    const again = asked.ask('1 again', '1');
    sockets[1]!.receive('1 answered\n');
    expect(await again).toBe('1 answered');
    watching.subscription.unsubscribe();
    for (const socket of sockets) socket.close();
  });
});

describe.each(places)('requests and a full buffer, over $name', (place) => {
  it('K21: a request over maxBuffered is rejected with ERR_OVERFLOW, and the option `overflow` applies', async () => {
    const { near, far } = await pairAt(place, { ...text, maxBuffered: 100_000, overflow: 'drop' });
    const hold = far.data.hold();
    record(far.data);
    const asked = requests(near.data, { timeout: 0 });
    const answers: Promise<unknown>[] = [];
    while (near.data.dropped === 0) {
      answers.push(asked.ask('x'.repeat(10_000)));
      await turns(1);
    }
    expect(await outcomes(answers.slice(-1))).toEqual(['ERR_OVERFLOW']);
    expect(asked.pending).toBe(answers.length - 1);
    hold.release();
    near.destroy();
    expect(new Set(await outcomes(answers.slice(0, -1)))).toEqual(new Set(['ERR_CLOSED']));
  });

  it('K21: an overflow that ends the connection rejects all requests with ERR_OVERFLOW', async () => {
    const { near, far } = await pairAt(place, { ...text, maxBuffered: 100_000 });
    const hold = far.data.hold();
    record(far.data);
    const asked = requests(near.data);
    const answers: Promise<unknown>[] = [];
    while (!near.data.closed) {
      answers.push(asked.ask('x'.repeat(10_000)));
      await turns(1);
    }
    expect(new Set(await outcomes(answers))).toEqual(new Set(['ERR_OVERFLOW']));
    expect(asked.pending).toBe(0);
    hold.release();
  });
});
