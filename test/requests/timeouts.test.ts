import '../support/leaks.js';
import { asyncScheduler, type Subscription } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import {
  connect,
  type ConnectOptions,
  type Connection,
  listen,
  requests,
  type Server,
  type SocketError,
} from 'rxjs-sockets';
import { jsonLines, lines } from 'rxjs-sockets/codecs';
import { memoryTransport } from 'rxjs-sockets/testing';
import { describe, expect, it } from 'vitest';
import { lineServer } from '../support/sockets/line-server.js';
import { realPlaces } from '../support/transport/places.js';
import { clientAt } from '../support/connection/connected-pairs.js';
import { turns } from '../support/scheduling/event-loop.js';

interface Message {
  readonly id: number;
}

const idOf = (message: unknown): number | undefined => (message as Partial<Message>).id;

type Options<T> = Pick<ConnectOptions<T, T>, 'codec' | 'reconnect'>;

/** A server and a client over the memory transport, in virtual time, and a log of events with their times. */
class World<T> {
  readonly log: string[] = [];
  readonly far: Connection<T, T>[] = [];
  readonly client;
  private readonly server: Server<T, T>;
  private serving: Subscription | undefined;

  constructor(options: Options<T>) {
    const transport = memoryTransport();
    this.server = listen('memory:m', { codec: options.codec!, transport });
    this.client = connect('memory:m', { ...options, transport });
  }

  /** Listens, and records what the server receives. */
  serve(): void {
    this.serving = this.server.subscribe((connection) => {
      this.far.push(connection);
      connection.data.subscribe({
        next: (message) => this.note(`received ${JSON.stringify(message)}`),
        error: () => undefined,
      });
    });
  }

  /** Stops listening, and destroys the connections. */
  stop(): void {
    this.serving?.unsubscribe();
    for (const connection of this.far) connection.destroy();
  }

  note(what: string): void {
    this.log.push(`${asyncScheduler.now()} ${what}`);
  }

  at(time: number, does: () => void): void {
    asyncScheduler.schedule(does, time);
  }
}

function virtually<T>(options: Options<T>, script: (world: World<T>) => void): string[] {
  let log: string[] = [];
  new TestScheduler(() => undefined).run(() => {
    const world = new World<T>(options);
    ({ log } = world);
    script(world);
  });
  return log;
}

/** How each promise has settled at the end. */
async function outcomes(answers: readonly Promise<unknown>[]): Promise<unknown[]> {
  const none = turns().then(() => 'nothing');
  return Promise.all(
    answers.map((answer) => {
      const outcome = answer.then(
        (value) => JSON.stringify(value),
        (error: unknown) => (error as SocketError).code,
      );
      return Promise.race([outcome, none]);
    }),
  );
}

describe('requests with ids, in virtual time', () => {
  const json = { codec: jsonLines() };

  it('K21: each request is rejected with ERR_TIMEOUT_REQUEST after its own timeout, and the connection continues', async () => {
    const answers: Promise<unknown>[] = [];
    const log = virtually<unknown>(json, (world) => {
      world.serve();
      const states = world.client.subscribe(({ status }) => world.note(status));
      const asked = requests(world.client.data, { answers: idOf, timeout: 100 });
      for (const [time, id] of [
        [0, 1],
        [30, 2],
        [70, 3],
      ] as const) {
        world.at(time, () => answers.push(asked.ask({ id }, id)));
      }
      for (const time of [99, 101, 129, 131, 139, 141]) world.at(time, () => world.note(`${asked.pending} pending`));
      world.at(140, () => world.far[0]?.data.next({ id: 3 }));
      world.at(200, () => {
        states.unsubscribe();
        world.stop();
      });
    });
    expect(log.filter((line) => !line.includes('received'))).toEqual([
      '0 connecting',
      '0 connected',
      '99 3 pending',
      '101 2 pending',
      '129 2 pending',
      '131 1 pending',
      '139 1 pending',
      '141 0 pending',
    ]);
    expect(await outcomes(answers)).toEqual(['ERR_TIMEOUT_REQUEST', 'ERR_TIMEOUT_REQUEST', '{"id":3}']);
  });

  it('K21: a late answer is neither the answer of another request nor an event', async () => {
    const answers: Promise<unknown>[] = [];
    const log = virtually<unknown>(json, (world) => {
      world.serve();
      const asked = requests(world.client.data, { answers: idOf, timeout: 100 });
      const events = asked.events.subscribe((event) => world.note(JSON.stringify(event)));
      answers.push(asked.ask({ id: 1 }, 1));
      world.at(110, () => answers.push(asked.ask({ id: 1 }, 1), asked.ask({ id: 2 }, 2)));
      world.at(120, () => {
        for (const message of [{ id: 1, late: true }, { text: 'event' }]) world.far[0]?.data.next(message);
      });
      world.at(130, () => answers.push(asked.ask({ id: 1 }, 1)));
      world.at(140, () => {
        for (const id of [1, 2]) world.far[0]?.data.next({ id });
      });
      world.at(150, () => events.unsubscribe());
      world.at(160, () => world.stop());
    });
    expect(await outcomes(answers)).toEqual(['ERR_TIMEOUT_REQUEST', 'ERR_OPTION_INVALID', '{"id":2}', '{"id":1}']);
    expect(log.filter((line) => !line.includes('received'))).toEqual(['120 {"text":"event"}']);
  });

  it('K21: the ids of at most maxPending timed-out requests are remembered', async () => {
    const answers: Promise<unknown>[] = [];
    virtually<unknown>(json, (world) => {
      world.serve();
      const states = world.client.subscribe();
      const asked = requests(world.client.data, { answers: idOf, timeout: 10, maxPending: 2 });
      for (const id of [1, 2, 3]) world.at(20 * id, () => void asked.ask({ id }, id));
      world.at(100, () => {
        for (const id of [3, 2, 1]) answers.push(asked.ask({ id }, id));
        world.far[0]?.data.next({ id: 1 });
      });
      world.at(200, () => {
        states.unsubscribe();
        world.stop();
      });
    });
    expect(await outcomes(answers)).toEqual(['ERR_OPTION_INVALID', 'ERR_OPTION_INVALID', '{"id":1}']);
  });

  it('K21: a timeout of 0 means no limit', async () => {
    const answers: Promise<unknown>[] = [];
    const log = virtually<unknown>(json, (world) => {
      world.serve();
      const asked = requests(world.client.data, { answers: idOf, timeout: 0 });
      answers.push(asked.ask({ id: 1 }, 1));
      world.at(2 ** 31 - 2, () => {
        world.note(`${asked.pending} pending`);
        world.far[0]?.data.next({ id: 1 });
      });
      world.at(2 ** 31 - 1, () => world.stop());
    });
    expect(log.at(-1)).toBe(`${2 ** 31 - 2} 1 pending`);
    expect(await outcomes(answers)).toEqual(['{"id":1}']);
  });

  it('K21: the default timeout is 10,000 ms', async () => {
    const answers: Promise<unknown>[] = [];
    const log = virtually<unknown>(json, (world) => {
      world.serve();
      const asked = requests(world.client.data, { answers: idOf });
      answers.push(asked.ask({ id: 1 }, 1));
      for (const time of [9_999, 10_000]) world.at(time, () => world.note(`${asked.pending} pending`));
      world.at(20_000, () => world.stop());
    });
    expect(log.slice(-2)).toEqual(['9999 1 pending', '10000 0 pending']);
    expect(await outcomes(answers)).toEqual(['ERR_TIMEOUT_REQUEST']);
  });
});

describe('requests without ids, in virtual time', () => {
  const text = { codec: lines() };

  it('K21: a timeout ends the connection, and rejects the other requests, with ERR_TIMEOUT_REQUEST', async () => {
    const answers: Promise<unknown>[] = [];
    const log = virtually<string>(text, (world) => {
      world.serve();
      const asked = requests(world.client.data, { timeout: 100 });
      world.client.subscribe({
        next: ({ status }) => world.note(status),
        error: (error: unknown) => world.note(`${(error as SocketError).code}, ${asked.pending} pending`),
      });
      answers.push(asked.ask('one'), asked.ask('two'));
      world.at(50, () => {
        answers.push(asked.ask('three'));
        world.far[0]?.data.next('1');
      });
      world.at(150, () => world.stop());
    });
    expect(log.filter((line) => !line.includes('received'))).toEqual([
      '0 connecting',
      '0 connected',
      '100 disconnected',
      '100 ERR_TIMEOUT_REQUEST, 0 pending',
    ]);
    expect(await outcomes(answers)).toEqual(['"1"', 'ERR_TIMEOUT_REQUEST', 'ERR_TIMEOUT_REQUEST']);
  });

  it('K21: with `reconnect`, the next connection has no pending requests, and nothing is sent again', async () => {
    const answers: Promise<unknown>[] = [];
    const log = virtually<string>({ ...text, reconnect: { delay: 10 } }, (world) => {
      world.serve();
      const states = world.client.subscribe(({ status }) => world.note(status));
      const asked = requests(world.client.data, { timeout: 100 });
      answers.push(asked.ask('one'), asked.ask('two'));
      world.at(105, () => answers.push(asked.ask('three')));
      world.at(120, () => world.far[1]?.data.next('3'));
      world.at(150, () => {
        states.unsubscribe();
        world.stop();
      });
    });
    expect(log).toEqual([
      '0 connecting',
      '0 connected',
      '0 received "one"',
      '0 received "two"',
      '100 disconnected',
      '100 waiting',
      '110 connecting',
      '110 connected',
      '110 received "three"',
    ]);
    expect(await outcomes(answers)).toEqual(['ERR_TIMEOUT_REQUEST', 'ERR_TIMEOUT_REQUEST', '"3"']);
  });

  it('K21: a request that times out before the client connects does not end the connection', async () => {
    const answers: Promise<unknown>[] = [];
    const log = virtually<string>({ ...text, reconnect: { delay: 10 } }, (world) => {
      const states = world.client.subscribe();
      const asked = requests(world.client.data, { timeout: 100 });
      answers.push(asked.ask('one'));
      world.at(50, () => answers.push(asked.ask('two')));
      world.at(120, () => {
        world.note(`${asked.pending} pending`);
        world.serve();
      });
      world.at(140, () => {
        for (const answer of ['1', '2']) world.far[0]?.data.next(answer);
      });
      world.at(150, () => {
        world.note(`${asked.pending} pending`);
        states.unsubscribe();
        world.stop();
      });
    });
    expect(log).toEqual(['120 1 pending', '120 received "one"', '120 received "two"', '150 0 pending']);
    expect(await outcomes(answers)).toEqual(['ERR_TIMEOUT_REQUEST', '"2"']);
  });

  it('K21: a request that timed out before it was sent takes no answer of a later request', async () => {
    const answers: Promise<unknown>[] = [];
    const log = virtually<string>({ ...text, reconnect: { delay: 10 } }, (world) => {
      const asked = requests(world.client.data, { timeout: 100 });
      answers.push(asked.ask('one'));
      world.at(120, () => world.serve());
      world.at(150, () => answers.push(asked.ask('two')));
      world.at(160, () => world.far[0]?.data.next('2'));
      world.at(170, () => world.stop());
    });
    expect(log).toEqual(['150 received "two"']);
    expect(await outcomes(answers)).toEqual(['ERR_TIMEOUT_REQUEST', '"2"']);
  });
});

describe.each(realPlaces)('requests in real time, over $name', (place) => {
  it('K21: an answer that arrived while the event loop was busy is in time (C23)', async () => {
    const server = await lineServer(place, (line, socket) => socket.write(`${line}!\n`));
    const { connection } = await clientAt(place, server.address, { codec: lines() });
    const asked = requests(connection.data, { timeout: 30 });
    const answer = asked.ask('one');
    await server.received(1);
    const until = Date.now() + 100;
    while (Date.now() < until);
    expect(await answer).toBe('one!');
  });

  it('K21: `closed` reports the timeout of a request', async () => {
    const server = await lineServer(place);
    const { connection } = await clientAt(place, server.address, { codec: lines() });
    const closed = new Promise((resolve) => connection.closed.subscribe(resolve));
    const answer = requests(connection.data, { timeout: 20 }).ask('one');
    await expect(answer).rejects.toMatchObject({ code: 'ERR_TIMEOUT_REQUEST', message: 'no answer came within 20 ms' });
    expect(await closed).toMatchObject({ reason: 'failed', error: { code: 'ERR_TIMEOUT_REQUEST' } });
  });
});
