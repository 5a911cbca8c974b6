import type net from 'node:net';
import { concatMap, defer, firstValueFrom, ignoreElements, NEVER, timer } from 'rxjs';
import {
  type Address,
  type Client,
  connect,
  type Connection,
  type ConnectOptions,
  type SocketError,
} from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { allRealPlaces, type Place } from '../support/transport/places.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { record, type Recording } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';

type Lines = Client<string, string>;
type Prepare = NonNullable<ConnectOptions<string, string>['prepare']>;

interface Served {
  readonly address: Address;
  readonly sockets: net.Socket[];
  readonly received: string[];
}

/** Starts a plain server that answers the first line of each client with a greeting and a second line. */
async function login(place: Place, answers = true): Promise<Served> {
  const sockets: net.Socket[] = [];
  const received: string[] = [];
  const address = await rawServer(place, (socket) => {
    const number = sockets.push(socket);
    received.push('');
    socket.on('data', (chunk: Buffer) => {
      const before = received[number - 1] ?? '';
      received[number - 1] = before + chunk.toString();
      if (answers && !before.includes('\n') && received[number - 1]!.includes('\n')) {
        socket.write(`OK ${number}\nnews ${number}\n`);
      }
    });
    socket.on('end', () => socket.end());
  });
  return { address, sockets, received };
}

function clientOf(
  place: Place,
  address: Address,
  prepare: Prepare,
  options: ConnectOptions<string, string> = {},
): { client: Lines; states: () => Recording<unknown>; statuses: string[] } {
  const client = connect<string, string>(address, { ...place.options, codec: lines(), prepare, ...options });
  const statuses: string[] = [];
  const states = (): Recording<unknown> => {
    const recording = record(client, (state) => statuses.push(state.status));
    onTestFinished(() => {
      recording.subscription.unsubscribe();
    });
    return recording;
  };
  onTestFinished(() => {
    client.data.error(new Error('the test is over'));
  });
  return { client, states, statuses };
}

const forms: [string, Prepare][] = [
  ['nothing', ({ data }) => data.next('LOGIN')],
  ['the promise of a `send`', ({ data }) => data.send('LOGIN')],
  ['the Observable of a `sendFrom`', ({ data }) => data.sendFrom(['LOGIN'])],
  ['a delayed Observable', ({ data }) => defer(() => data.send('LOGIN')).pipe(concatMap(() => timer(1)))],
  [
    'an async function',
    async ({ data }) => {
      await data.send('LOGIN');
    },
  ],
];

describe.each(allRealPlaces)('a client that prepares its connections on $name', (place) => {
  it.each(forms)('K18: if `prepare` returns %s, LOGIN goes out first on each connection', async (_, prepare) => {
    const { address, sockets, received } = await login(place);
    const { client, states } = clientOf(place, address, prepare, { reconnect: { delay: 1 } });
    client.data.next('first');
    states();
    const data = record(client.data);
    onTestFinished(() => {
      data.subscription.unsubscribe();
    });
    await data.count(2);
    await until(() => received[0] === 'LOGIN\nfirst\n');
    sockets[0]!.destroy();
    await until(() => sockets.length === 2);
    client.data.next('second');
    await data.count(4);
    await until(() => received[1]?.endsWith('second\n') === true);
    expect(received[1]).toBe('LOGIN\nsecond\n');
    expect(data.values).toEqual(['OK 1', 'news 1', 'OK 2', 'news 2']);
  });

  it("K18: `prepare` can read an answer, and the bytes that `prepare` does not read go to the client's `data`", async () => {
    const { address, received, sockets } = await login(place);
    const answers: string[] = [];
    const { client, states, statuses } = clientOf(place, address, async ({ data }) => {
      data.next('LOGIN');
      answers.push(await firstValueFrom(data));
    });
    states();
    const data = record(client.data);
    onTestFinished(() => {
      data.subscription.unsubscribe();
    });
    client.data.next('later');
    expect(await data.count(1)).toEqual(['news 1']);
    await until(() => received[0] === 'LOGIN\nlater\n');
    expect([answers, statuses, sockets.length]).toEqual([['OK 1'], ['connecting', 'connected'], 1]);
  });

  it('K18: until `prepare` has finished, the state is `connecting` and `data` emits nothing', async () => {
    const { address, received } = await login(place);
    const { client, states, statuses } = clientOf(place, address, ({ data }) => {
      data.next('LOGIN');
      return NEVER;
    });
    const watching = states();
    const data = record(client.data);
    const sent = client.data.send('never');
    await until(() => received[0] === 'LOGIN\n');
    await turns();
    expect([statuses, data.values, received]).toEqual([['connecting'], [], ['LOGIN\n']]);
    data.subscription.unsubscribe();
    watching.subscription.unsubscribe();
    await expect(sent).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    expect([statuses, received]).toEqual([['connecting'], ['LOGIN\n']]);
  });

  it.each<[string, Prepare]>([
    [
      'throws',
      () => {
        throw new Error('no password');
      },
    ],
    ['rejects', () => Promise.reject(new Error('no password'))],
    [
      'returns an Observable that fails in a later turn',
      () =>
        timer(1).pipe(
          concatMap(() => {
            throw new Error('no password');
          }),
        ),
    ],
  ])('K18: if `prepare` %s, the attempt fails with ERR_HANDLER', async (_, prepare) => {
    const { address, sockets } = await login(place);
    const { client, states, statuses } = clientOf(place, address, prepare);
    const data = record(client.data);
    const error = (await states().end()) as SocketError;
    expect(error).toMatchObject({ code: 'ERR_HANDLER', cause: { message: 'no password' } });
    expect(await data.end()).toBe(error);
    expect(statuses).toEqual(['connecting', 'disconnected']);
    await until(() => sockets.every((socket) => socket.destroyed));
  });

  it('K18: if `prepare` fails, the client dials again, as `reconnect` says', async () => {
    const { address, received } = await login(place);
    let attempts = 0;
    const prepare: Prepare = ({ data }) => {
      if (++attempts < 3) throw new Error('not yet');
      data.next('LOGIN');
    };
    const { client, states, statuses } = clientOf(place, address, prepare, { reconnect: { delay: 1 } });
    client.data.next('waits');
    states();
    await until(() => received.includes('LOGIN\nwaits\n'));
    expect(statuses.filter((status) => status !== 'waiting')).toEqual([
      ...['connecting', 'disconnected', 'connecting', 'disconnected'],
      ...['connecting', 'connected'],
    ]);
    expect(received.filter((text) => text !== '')).toEqual(['LOGIN\nwaits\n']);
  });

  it('K16, K18: `connectTimeout` includes the time of `prepare`', async () => {
    const { address, sockets } = await login(place, false);
    const options = { connectTimeout: 100 };
    const { states, statuses } = clientOf(place, address, ({ data }) => firstValueFrom(data), options);
    expect(await states().end()).toMatchObject({ code: 'ERR_TIMEOUT_CONNECT' });
    expect(statuses).toEqual(['connecting', 'disconnected']);
    await until(() => sockets.every((socket) => socket.destroyed));
  });

  it.each(['destroy', 'close'] as const)(
    'K18: if `prepare` %ss the connection, the client never reaches the state `connected`',
    async (how) => {
      const { address } = await login(place);
      const prepare: Prepare = (connection) => {
        void connection[how]();
        return NEVER;
      };
      const { states, statuses } = clientOf(place, address, prepare);
      expect(await states().end()).toMatchObject({ code: 'ERR_CLOSED' });
      expect(statuses).toEqual(['connecting', 'disconnected']);
    },
  );

  it('K18: if the Observable that `prepare` returns reads to the end of the stream, the client becomes `connected` when the peer ends its side', async () => {
    const address = await rawServer(place, (socket) => socket.end('sorry\n'));
    const { states, statuses } = clientOf(place, address, ({ data }) => data.pipe(ignoreElements()), {
      halfOpen: true,
    });
    const watching = states();
    await until(() => statuses.includes('connected'));
    watching.subscription.unsubscribe();
  });

  it('K18: unsubscribing from the client during `prepare` closes the connection', async () => {
    const { address, sockets } = await login(place);
    let subscribed = 0;
    const prepare: Prepare = () => {
      subscribed++;
      return NEVER;
    };
    const { states, statuses } = clientOf(place, address, prepare);
    const watching = states();
    await until(() => subscribed === 1 && sockets.length === 1);
    watching.subscription.unsubscribe();
    await until(() => sockets[0]!.destroyed || sockets[0]!.readableEnded);
    expect(statuses).toEqual(['connecting']);
  });

  it('K18: the state `connected` has the connection that `prepare` got, and the channels of that connection still work', async () => {
    const { address, received } = await login(place);
    let prepared: Connection<string, string> | undefined;
    const { client, states } = clientOf(place, address, async (connection) => {
      prepared = connection;
      connection.data.next('LOGIN');
      await firstValueFrom(connection.data);
    });
    let connected: unknown;
    record(client, (state) => {
      if (state.status === 'connected') connected = state.connection;
    });
    states();
    await until(() => connected !== undefined);
    expect(connected).toBe(prepared);
    prepared!.data.next('own');
    expect(await firstValueFrom(prepared!.data)).toBe('news 1');
    await until(() => received[0] === 'LOGIN\nown\n');
  });
});

describe.each(allRealPlaces.filter(({ name }) => name === 'tcp' || name === 'tls'))('prepare on $name', (place) => {
  it('K18: a reset during `prepare` fails the attempt, and is not reported as an error of `prepare`', async () => {
    const below: net.Socket[] = [];
    const address = await rawServer(
      place,
      () => undefined,
      (socket) => below.push(socket),
    );
    const { states, statuses } = clientOf(place, address, (connection) => {
      setImmediate(() => below[0]!.resetAndDestroy());
      return connection.data;
    });
    expect(await states().end()).toMatchObject({ code: 'ECONNRESET' });
    expect(statuses).toEqual(['connecting', 'disconnected']);
  });

  it('K18: if `prepare` completes only because the connection failed, the attempt fails', async () => {
    const { address, received } = await login(place);
    let count = 0;
    const prepare: Prepare = ({ data }) => {
      if (++count > 1) return data.send('LOGIN');
      setImmediate(() => data.error(new Error('a whim')));
      return data.writable;
    };
    const { client, states, statuses } = clientOf(place, address, prepare, {
      reconnect: { delay: 1 },
    });
    const sent = client.data.send('waits');
    states();
    await sent;
    await until(() => received.at(-1) === 'LOGIN\nwaits\n');
    expect(statuses).toEqual(['connecting', 'disconnected', 'waiting', 'connecting', 'connected']);
  });
});
