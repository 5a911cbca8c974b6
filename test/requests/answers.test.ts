import '../support/leaks.js';
import { firstValueFrom } from 'rxjs';
import { connect, type Connection, requests, type SocketError } from 'rxjs-sockets';
import { jsonLines, lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { lineServer } from '../support/sockets/line-server.js';
import { places, realPlaces } from '../support/transport/places.js';
import { clientAt, pairAt, serverAt } from '../support/connection/connected-pairs.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';

interface Message {
  readonly id?: number;
  readonly text: string;
}

const json = { codec: jsonLines() };
const text = { codec: lines() };
const code = (code: string): unknown => expect.objectContaining({ name: 'SocketError', code });
const idOf = (message: unknown): number | undefined => (message as Message).id;

describe.each(realPlaces)('requests with ids, over $name', (place) => {
  it('K21: an answer is matched to its request by the id, in whatever order the answers arrive', async () => {
    const server = await lineServer(place);
    const { connection } = await clientAt<unknown, unknown>(place, server.address, json);
    const { ask } = bound(requests(connection.data, { answers: idOf }));
    const answers = [3, 1, 2].map((id) => ask({ id, text: `question ${id}` }, id));
    await server.received(3);
    for (const id of [2, 3, 1]) server.sockets[0]?.write(`${JSON.stringify({ id, text: `answer ${id}` })}\n`);
    expect(await Promise.all(answers)).toEqual([3, 1, 2].map((id) => ({ id, text: `answer ${id}` })));
  });

  it('K21: `pending` counts the requests without an answer', async () => {
    const server = await lineServer(place, (line, socket) => socket.write(`${line}\n`));
    const { connection } = await clientAt<unknown, unknown>(place, server.address, json);
    const asked = requests(connection.data, { answers: idOf });
    expect(asked.pending).toBe(0);
    const answers = [1, 2].map((id) => asked.ask({ id, text: '?' }, id));
    expect(asked.pending).toBe(2);
    await Promise.all(answers);
    expect(asked.pending).toBe(0);
  });

  it('K21: an answer without a pending request is dropped, and is not an event', async () => {
    const server = await lineServer(place, (line, socket) => {
      for (const id of [99, 1, 1]) socket.write(`${JSON.stringify({ id, text: line })}\n`);
      socket.write('{"text":"event"}\n');
    });
    const { connection } = await clientAt<unknown, unknown>(place, server.address, json);
    const asked = requests(connection.data, { answers: idOf });
    const events = record(asked.events);
    expect(await asked.ask('hello', 1)).toEqual({ id: 1, text: '"hello"' });
    expect(await events.count(1)).toEqual([{ text: 'event' }]);
  });

  it('K21: a request whose id is pending or missing is rejected, and not sent', async () => {
    const server = await lineServer(place);
    const { connection } = await clientAt<unknown, unknown>(place, server.address, json);
    const asked = requests<unknown, unknown, number | undefined>(connection.data, { answers: idOf });
    const first = asked.ask('first', 1);
    await expect(asked.ask('second', 1)).rejects.toMatchObject({
      code: 'ERR_OPTION_INVALID',
      message: 'ask: a request with the id 1 is pending',
    });
    await expect(asked.ask('third', undefined)).rejects.toEqual(code('ERR_OPTION_INVALID'));
    expect(asked.pending).toBe(1);
    await server.received(1);
    server.sockets[0]?.write('{"id":1}\n');
    await first;
    const again = asked.ask('again', 1);
    await server.received(2);
    server.sockets[0]?.write('{"id":1}\n');
    await again;
    expect(server.lines).toEqual(['"first"', '"again"']);
  });

  it('K21: a request over maxPending is rejected without being sent, and the connection continues', async () => {
    const server = await lineServer(place);
    const { connection } = await clientAt<unknown, unknown>(place, server.address, json);
    const asked = requests(connection.data, { answers: idOf, maxPending: 2 });
    const answers = [1, 2].map((id) => asked.ask(id, id));
    await expect(asked.ask(3, 3)).rejects.toMatchObject({
      code: 'ERR_OVERFLOW',
      message: expect.stringContaining('maxPending (2)'),
    });
    await server.received(2);
    server.sockets[0]?.write('{"id":1}\n{"id":2}\n');
    await Promise.all(answers);
    const fourth = asked.ask(4, 4);
    await server.received(3);
    expect(server.lines).toEqual(['1', '2', '4']);
    server.sockets[0]?.write('{"id":4}\n');
    await fourth;
  });

  it('K21: an exception in `answers` fails the connection, and the requests, with ERR_HANDLER', async () => {
    const server = await lineServer(place, (_line, socket) => socket.write('null\n'));
    const { connection } = await clientAt<unknown, unknown>(place, server.address, json);
    const asked = requests(connection.data, { answers: (message) => (message as Message).id });
    const closed = record(connection.closed);
    const failure = await asked.ask('?', 1).catch((error: unknown) => error as SocketError);
    expect(failure).toMatchObject({ code: 'ERR_HANDLER', cause: expect.any(TypeError) });
    expect(await closed.count(1)).toMatchObject([{ reason: 'failed', error: { code: 'ERR_HANDLER' } }]);
    expect(asked.pending).toBe(0);
  });

  it('K21: garbage from the server fails the requests with the error of the bad frame', async () => {
    const server = await lineServer(place, (_line, socket) => socket.write('{"id":1\n'));
    const { connection } = await clientAt<unknown, unknown>(place, server.address, json);
    const asked = requests(connection.data, { answers: idOf });
    const answers = [1, 2].map((id) => asked.ask('?', id));
    for (const answer of answers) await expect(answer).rejects.toEqual(code('ERR_FRAME_INVALID'));
  });
});

describe.each(realPlaces)('requests in order, over $name', (place) => {
  it('K21: answers arrive in the order of the requests, which can all be in flight at the same time', async () => {
    const server = await lineServer(place);
    const { connection } = await clientAt(place, server.address, text);
    const { ask } = bound(requests(connection.data));
    const answers = ['one', 'two', 'three'].map((word) => ask(word));
    await server.received(3);
    server.sockets[0]?.write('1\n2\n3\n');
    expect(await Promise.all(answers)).toEqual(['1', '2', '3']);
  });

  it('K21: an answer that arrives one byte at a time is complete', async () => {
    const server = await lineServer(place);
    const { connection } = await clientAt(place, server.address, text);
    const { ask } = bound(requests(connection.data));
    const answers = ['one', 'two'].map((word) => ask(word));
    await server.received(2);
    for (const byte of 'first\nsecond\n') {
      server.sockets[0]?.write(byte);
      await turns(2);
    }
    expect(await Promise.all(answers)).toEqual(['first', 'second']);
  });

  it('K21: a message received before a request is not its answer', async () => {
    const server = await lineServer(place, (line, socket) => socket.write(`${line}!\n`));
    const { connection } = await clientAt(place, server.address, text);
    await until(() => server.sockets.length === 1);
    server.sockets[0]?.write('a greeting\n');
    await until(() => connection.stats.bytesRead === 11);
    const asked = requests(connection.data);
    expect(await asked.ask('hello')).toBe('hello!');
    server.sockets[0]?.write('some news\n');
    await until(() => connection.stats.bytesRead === 28);
    const events = record(asked.events);
    expect(await asked.ask('bye')).toBe('bye!');
    expect(events.values).toEqual(['some news']);
  });

  it('K21: without the option `answers`, a request with an id is refused', async () => {
    const server = await lineServer(place);
    const { connection } = await clientAt(place, server.address, text);
    const asked = requests(connection.data) as unknown as { ask(request: string, id: number): Promise<string> };
    await expect(asked.ask('?', 1)).rejects.toMatchObject({
      code: 'ERR_OPTION_INVALID',
      message: expect.stringContaining('answers'),
    });
    await turns();
    expect(server.lines).toEqual([]);
  });

  it('K21: a request that cannot be encoded is rejected, and no other request is rejected', async () => {
    const server = await lineServer(place, (line, socket) => socket.write(`${line}!\n`));
    const { connection } = await clientAt(place, server.address, text);
    const asked = requests(connection.data);
    const answers = ['one', 'two\nlines', 'three'].map((line) => asked.ask(line));
    const [one, two, three] = await Promise.allSettled(answers);
    expect([one, three]).toEqual([
      { status: 'fulfilled', value: 'one!' },
      { status: 'fulfilled', value: 'three!' },
    ]);
    expect(two).toEqual({ status: 'rejected', reason: code('ERR_FRAME_INVALID') });
    expect([asked.pending, server.lines]).toEqual([0, ['one', 'three']]);
  });

  it('K21: an answer that arrives while its request is still being written is accepted', async () => {
    const server = await lineServer(place);
    const { connection } = await clientAt(place, server.address, {
      codec: lines({ maxLength: 2 ** 26 }),
      maxBuffered: 2 ** 26,
    });
    await until(() => server.sockets.length === 1);
    server.sockets[0]?.pause();
    const answer = requests(connection.data).ask('x'.repeat(2 ** 25));
    await until(() => (server.sockets[0]?.readableLength ?? 0) > 0);
    expect(connection.data.bufferedBytes).toBeGreaterThan(0);
    server.sockets[0]?.write('too long\n');
    expect(await answer).toBe('too long');
  });
});

describe.each(places)('requests on a client, over $name', (place) => {
  const shouting = (connections: Connection<string, string>[]) =>
    serverAt<string, string>(
      place,
      (connection) => {
        connections.push(connection);
        const { data } = connection;
        const received = record(data, (line) => data.next(`${line}!`));
        void received.end().then(() => data.complete());
      },
      text,
    );

  it('K21: the first request makes the client dial, and the client closes after the last answer', async () => {
    const connections: Connection<string, string>[] = [];
    const { address } = await shouting(connections);
    const asked = requests(connect(address, { ...place.options, ...text }).data);
    const answers = ['one', 'two'].map((line) => asked.ask(line));
    expect(await Promise.all(answers)).toEqual(['one!', 'two!']);
    expect(await asked.ask('three')).toBe('three!');
    const closed = await Promise.all(connections.map((connection) => firstValueFrom(connection.closed)));
    expect(closed).toMatchObject([{ reason: 'finished' }, { reason: 'finished' }]);
  });

  it.each(['states', 'events'])('K21: a client stays connected while its %s have a subscriber', async (what) => {
    const connections: Connection<string, string>[] = [];
    const { address } = await shouting(connections);
    const client = connect(address, { ...place.options, ...text });
    const asked = requests(client.data);
    const kept = record<unknown>(what === 'states' ? client : asked.events);
    for (const word of ['one', 'two', 'three']) expect(await asked.ask(word)).toBe(`${word}!`);
    expect(connections).toHaveLength(1);
    kept.subscription.unsubscribe();
    expect(await firstValueFrom(connections[0]!.closed)).toMatchObject({ reason: 'finished' });
  });

  it('K21: requests are rejected with the error of a failed dial', async () => {
    const address = place.name === 'tcp' ? { port: 1 } : await place.address();
    const asked = requests(connect(address, { ...place.options, ...text }).data);
    const answers = ['one', 'two'].map((line) => asked.ask(line));
    for (const answer of answers) {
      await expect(answer).rejects.toMatchObject({ code: expect.stringMatching(/ECONNREFUSED|ENOENT/) });
    }
    expect(asked.pending).toBe(0);
  });

  it('K21: a server can make requests on an accepted connection', async () => {
    const { near, far } = await pairAt(place, { codec: lengthPrefixed() });
    record(near.data, (question) => near.data.next(Buffer.concat([question, Buffer.from('!')])));
    const answer = await requests(far.data).ask('are you there');
    expect(String(answer)).toBe('are you there!');
  });

  it('K21: a login in `prepare` is answered before any queued value is sent', async () => {
    const connections: Connection<string, string>[] = [];
    const { address } = await shouting(connections);
    const client = connect<string, string>(address, {
      ...place.options,
      ...text,
      prepare: ({ data }) => requests(data).ask('login'),
    });
    const asked = requests(client.data);
    const answers = ['one', 'two'].map((word) => asked.ask(word));
    expect(await Promise.all(answers)).toEqual(['one!', 'two!']);
    expect(connections[0]?.stats.bytesRead).toBe('login\none\ntwo\n'.length);
  });

  it('K21: `open` keeps a client connected between requests', async () => {
    const connections: Connection<string, string>[] = [];
    const { address } = await shouting(connections);
    const client = connect<string, string>(address, { ...place.options, ...text });
    const connection = await client.open();
    const asked = requests(client.data);
    for (const word of ['one', 'two']) expect(await asked.ask(word)).toBe(`${word}!`);
    expect(connections).toHaveLength(1);
    await connection.close();
  });

  it('K21: thousands of concurrent requests all get their own answers', async () => {
    const { near, far } = await pairAt<unknown, unknown>(place, json);
    record(far.data, (message) => far.data.next({ ...(message as object), text: 'pong' }));
    const asked = requests(near.data, { answers: idOf, maxPending: 5_000 });
    const answers = Array.from({ length: 5_000 }, (_, id) => asked.ask({ id, text: 'ping' }, id));
    for (const [id, answer] of (await Promise.all(answers)).entries()) expect(answer).toEqual({ id, text: 'pong' });
    expect(asked.pending).toBe(0);
  });
});

function bound<A extends unknown[], R>(asked: { ask(...args: A): R }): { ask: (...args: A) => R } {
  return { ask: (...args) => asked.ask(...args) };
}
