import '../../support/leaks.js';
import { randomUUID } from 'node:crypto';
import { defer, lastValueFrom, retry, Subject } from 'rxjs';
import {
  backoff,
  type Channel,
  type Connection,
  requests,
  type Requests,
  type RequestsById,
  type RequestsByIdOptions,
  type RequestsInOrder,
  type RequestsOptions,
} from 'rxjs-sockets';
import { jsonLines, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { network, pair } from '../../support/transport/memory/memory-network.js';
import { recordingConsole } from '../../support/recording/recording-console.js';
import { record } from '../../support/recording/record.js';
import { until } from '../../support/scheduling/event-loop.js';

/** Makes the peer answer each line with the result of `answer`. */
function answering({ data }: Connection<string, string>, answer = (line: string): string => line.toUpperCase()): void {
  const received = record(data, (line) => data.next(answer(line)));
  void received.end().then(() => data.complete());
}

describe('the examples of "Requests and answers" show how to', () => {
  it('ask in order', async () => {
    const { connection, peer } = await pair();
    answering(peer);

    const calls = requests(connection.data);
    const [first, second] = await Promise.all([calls.ask('one'), calls.ask('two')]); // both in flight at once

    expect([first, second]).toEqual(['ONE', 'TWO']);
  });

  it('ask with ids and receive events', async () => {
    interface Message {
      readonly id?: number;
      readonly method?: string;
      readonly result?: unknown;
    }
    const { connection, peer } = await pair(jsonLines<Message>());
    const console = recordingConsole();
    const waiting: Message[] = [];
    record(peer.data, (message) => waiting.push(message));

    const calls = requests(connection.data, { answers: (message: Message) => message.id });
    let last = 0;

    function call(method: string): Promise<Message> {
      const id = ++last;
      return calls.ask({ id, method }, id);
    }

    calls.events.subscribe({
      next: (event) => console.log(event.method),
      error: (error: unknown) => console.log(String(error)),
    });

    const answers = [call('one'), call('two')];
    await until(() => waiting.length === 2);
    peer.data.next({ method: 'tick' });
    for (const { id, method } of waiting.reverse()) peer.data.next({ id: id!, result: `${method}!` });
    expect(await Promise.all(answers)).toEqual([
      { id: 1, result: 'one!' },
      { id: 2, result: 'two!' },
    ]);
    expect(console.written).toEqual(['tick']);
  });

  it('keep a client connected', async () => {
    const { listen, connect } = network();
    const console = recordingConsole();
    const server = listen('tcp://localhost:7000', { codec: lines() });
    const connections: unknown[] = [];
    record(server, (connection) => {
      connections.push(connection);
      answering(connection);
    });
    {
      const client = connect('tcp://localhost:7000', { codec: lines() });
      const connection = await client.open();
      const calls = requests(connection.data);
      for (const question of ['one', 'two']) console.log(await calls.ask(question)); // on one connection
      await connection.close();
    }
    {
      const client = connect('tcp://localhost:7000', { codec: lines(), reconnect: backoff() });
      const watching = client.subscribe({ error: (error: unknown) => console.log(String(error)) });
      const calls = requests(client.data);
      console.log(await calls.ask('three'));
      watching.unsubscribe(); // hangs up
    }
    expect(console.written).toEqual(['ONE', 'TWO', 'THREE']);
    expect(connections).toHaveLength(2);
  });

  it('log in on each connection', async () => {
    const { listen, connect } = network();
    const asked: string[] = [];
    record(listen('tcp://localhost:7000', { codec: lines() }), (connection) => {
      answering(connection, (line) => {
        asked.push(line);
        if (line === 'one') connection.destroy();
        return line.toUpperCase();
      });
    });
    const client = connect('tcp://localhost:7000', {
      codec: lines(),
      reconnect: backoff(),
      prepare: ({ data }) => requests(data).ask('login ada'),
    });
    const watching = client.subscribe({ error: () => undefined });
    const calls = requests(client.data);
    await expect(calls.ask('one')).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(await calls.ask('two')).toBe('TWO');
    expect(asked).toEqual(['login ada', 'one', 'login ada', 'two']);
    watching.unsubscribe();
  });

  it('ask again after a connection was lost', async () => {
    const { listen, connect } = network();
    const server = listen('tcp://localhost:7000', { codec: lines() });
    const asked: string[] = [];
    let losses = 0;
    server.subscribe((connection) => {
      const lose = losses++ % 2 === 0;
      answering(connection, (line) => {
        asked.push(line);
        if (lose) connection.destroy();
        return line.toUpperCase();
      });
    });
    const client = connect('tcp://localhost:7000', { codec: lines(), reconnect: backoff({ initial: 1 }) });
    const calls = requests(client.data);

    function look(name: string): Promise<string> {
      const asking = defer(() => calls.ask(`get ${name}`));
      return lastValueFrom(asking.pipe(retry({ count: 3, delay: 100 })));
    }

    function pay(amount: number): Promise<string> {
      const key = randomUUID(); // the same for each attempt
      const asking = defer(() => calls.ask(`pay ${amount} ${key}`));
      return lastValueFrom(asking.pipe(retry({ count: 3, delay: 100 })));
    }

    expect(await look('name')).toBe('GET NAME');
    expect(await pay(5)).toMatch(/^PAY 5 /);
    expect(asked.slice(0, 2)).toEqual(['get name', 'get name']);
    expect(asked).toHaveLength(4);
    expect(asked[2]).toBe(asked[3]);
  });
});

describe('the examples of requests', () => {
  it('show how to ask with an id', async () => {
    interface Message {
      readonly id?: number;
      readonly method?: string;
      readonly result?: string;
    }
    const { connection, peer } = await pair(jsonLines<Message>());
    const console = recordingConsole();
    record(peer.data, ({ id }) => peer.data.next({ id: id!, result: '12:00' }));
    const calls = requests(connection.data, { answers: (message) => message.id });
    console.log(await calls.ask({ id: 1, method: 'time' }, 1)); // { id: 1, result: '12:00' }
    const answer = await calls.ask({ id: 7, method: 'time' }, 7);
    calls.events.subscribe({
      next: (event) => console.log(event),
      error: (error: unknown) => console.log(String(error)),
    });
    peer.data.next({ method: 'tick' });
    await until(() => console.written.length === 2);
    expect([answer, ...console.written]).toEqual([
      { id: 7, result: '12:00' },
      { id: 1, result: '12:00' },
      { method: 'tick' },
    ]);
  });

  it('show how to name the types', async () => {
    const options: RequestsOptions = { timeout: 1_000, maxPending: 100 };
    const { connection, peer } = await pair();
    answering(peer, () => '1200');
    const time = async (clock: RequestsInOrder<string, string>): Promise<number> => Number(await clock.ask('time'));
    expect(await time(requests(connection.data, options))).toBe(1_200);

    const other = await pair(jsonLines<{ id?: number }>());
    record(other.peer.data, (message) => other.peer.data.next(message));
    {
      const options: RequestsByIdOptions<{ id?: number }, number> = { answers: (message) => message.id };
      let last = 0;
      const ping = (peer: RequestsById<unknown, { id: number }, number>): Promise<unknown> =>
        peer.ask({ id: ++last }, last);
      const busy = (calls: Requests<unknown>): boolean => calls.pending > 100;
      const calls = requests(other.connection.data, options);
      expect(await ping(calls)).toEqual({ id: 1 });
      expect(busy(calls)).toBe(false);
    }
  });

  it('show how to ask in order', async () => {
    const { connection, peer } = await pair();
    answering(peer);
    const calls = requests(connection.data);
    const [first, second] = await Promise.all([calls.ask('one'), calls.ask('two')]);
    expect([first, second]).toEqual(['ONE', 'TWO']);
  });

  it('include a model that behaves like `requests`', async () => {
    function correlated<In, Out, Id>(channel: Channel<In, Out>, answers: (message: In) => Id | undefined) {
      const waiting = new Map<Id, (answer: In) => void>();
      const events = new Subject<In>();
      channel.subscribe((message) => {
        const id = answers(message);
        if (id === undefined) events.next(message);
        else waiting.get(id)?.(message);
      });
      const ask = (request: Out, id: Id) =>
        new Promise<In>((resolve) => {
          waiting.set(id, resolve);
          channel.next(request);
        });
      return { ask, events };
    }

    interface Message {
      readonly id?: number;
      readonly text: string;
    }
    const answers = ({ id }: Message): number | undefined => id;
    const outcomes = [correlated, (channel: Channel<Message>) => requests(channel, { answers })].map(async (make) => {
      const { connection, peer } = await pair(jsonLines<Message>());
      const calls = make(connection.data, answers);
      const events = record(calls.events);
      const received = record(peer.data);
      const promises = [1, 2, 3].map((id) => calls.ask({ id, text: 'question' }, id));
      await received.count(3);
      for (const id of [2, undefined, 3, 1, undefined, 2]) {
        peer.data.next(id === undefined ? { text: 'event' } : { id, text: `answer ${id}` });
      }
      const outcome = { answers: await Promise.all(promises), events: await events.count(2) };
      // The model handles no errors, so the test ends the connection cleanly.
      peer.data.complete();
      await connection.close();
      return outcome;
    });
    const [model, real] = await Promise.all(outcomes);
    expect(real).toEqual(model);
    expect(real?.answers.map(({ text }) => text)).toEqual(['answer 1', 'answer 2', 'answer 3']);
  });
});
