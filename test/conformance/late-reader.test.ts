import type net from 'node:net';
import { EmptyError, firstValueFrom, repeat, retry } from 'rxjs';
import { type Address, backoff, type Client, connect, type Connection, type ConnectOptions } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { type Place, realPlaces } from '../support/transport/places.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { abort } from '../support/sockets/read-socket.js';
import { record, type Recording } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';

type Lines = Client<string, string>;

function clientOf(address: Address, options: ConnectOptions<string, string> = {}): Lines {
  const client = connect<string, string>(address, { codec: lines(), ...options });
  onTestFinished(() => {
    client.data.error(new Error('the test is over'));
  });
  return client;
}

function watched(client: Lines): { states: Recording<unknown>; connections: Connection<string, string>[] } {
  const connections: Connection<string, string>[] = [];
  const states = record(client, (state) => {
    if (state.status === 'connected') connections.push(state.connection);
  });
  onTestFinished(() => {
    states.subscription.unsubscribe();
  });
  return { states, connections };
}

function recorded(client: Lines): Recording<string> {
  const recording = record(client.data);
  onTestFinished(() => {
    recording.subscription.unsubscribe();
  });
  return recording;
}

/** Starts a plain server that greets each client, and ends the first `count` connections after the greeting. */
async function greeting(
  place: Place,
  count: number,
  greet: (n: number) => string | Buffer = (n) => `hello ${n}\n`,
): Promise<Greeting> {
  const greeting: Greeting = { address: { transport: 'memory', name: '' }, sockets: [], received: [] };
  const address = await rawServer(place, (socket) => {
    const number = greeting.sockets.push(socket);
    greeting.received.push('');
    socket.on('data', (chunk: Buffer) => {
      greeting.received[number - 1] = `${greeting.received[number - 1]}${chunk.toString()}`;
    });
    socket.on('end', () => socket.end());
    if (number <= count) socket.end(greet(number));
    else socket.write(greet(number));
  });
  return Object.assign(greeting, { address });
}

interface Greeting {
  readonly address: Address;
  readonly sockets: net.Socket[];
  readonly received: string[];
}

describe.each(realPlaces)('a reader that subscribes after the end of a connection, on $name', (place) => {
  it('K8: the reader gets the data of a connection that has ended cleanly, then the end of that connection, and only the next subscription of the reader dials', async () => {
    const { address, sockets } = await greeting(place, 1);
    const client = clientOf(address);
    expect(await watched(client).states.end()).toBe('complete');
    const first = recorded(client);
    expect(await first.end()).toBe('complete');
    expect(first.values).toEqual(['hello 1']);
    await turns();
    expect(sockets).toHaveLength(1);
    expect(await recorded(client).count(1)).toEqual(['hello 2']);
    expect(sockets).toHaveLength(2);
  });

  it('K8: the reader gets the data of a connection that was reset, then the error of that connection', async () => {
    const sockets: net.Socket[] = [];
    const address = await rawServer(place, (socket) => {
      sockets.push(socket);
      socket.write(`hello ${sockets.length}\n`);
    });
    const client = clientOf(address);
    const { states, connections } = watched(client);
    await until(() => connections[0]?.stats.bytesRead === 8);
    await abort(sockets[0]!, connections[0]!);
    const error = await states.end();
    expect(error).not.toBe('complete');
    const late = recorded(client);
    expect(await late.end()).toBe(error);
    expect(late.values).toEqual(['hello 1']);
    expect(sockets).toHaveLength(1);
    expect(await recorded(client).count(1)).toEqual(['hello 2']);
  });

  it('D3, K8: the reader gets the messages before a bad frame, then the error of that frame', async () => {
    const { address, sockets } = await greeting(place, 1, (n) =>
      Buffer.from(`hello ${n}\n\xff\xfe\nnever\n`, 'latin1'),
    );
    const client = clientOf(address);
    await watched(client).states.end();
    const late = recorded(client);
    expect(await late.end()).toMatchObject({ code: 'ERR_FRAME_INVALID' });
    expect(late.values).toEqual(['hello 1']);
    expect(sockets).toHaveLength(1);
  });

  it('K8: the reader can take the unread messages of an ended connection one by one, then gets the end of that connection, and dials only with the next subscription of the reader', async () => {
    const { address, sockets } = await greeting(place, 1, (n) => `a${n}\nb${n}\nc${n}\n`);
    const client = clientOf(address);
    await watched(client).states.end();
    for (const line of ['a1', 'b1', 'c1']) {
      expect(await firstValueFrom(client.data)).toBe(line);
      await turns(3);
    }
    await expect(firstValueFrom(client.data)).rejects.toBeInstanceOf(EmptyError);
    expect(sockets).toHaveLength(1);
    expect(await firstValueFrom(client.data)).toBe('a2');
    expect(sockets).toHaveLength(2);
  });

  it('K8: the reader can iterate over the unread messages of an ended connection', async () => {
    const { address, sockets } = await greeting(place, 1, (n) => `a${n}\nb${n}\n`);
    const client = clientOf(address);
    await watched(client).states.end();
    const lines: string[] = [];
    for await (const line of client.data) lines.push(line);
    expect(lines).toEqual(['a1', 'b1']);
    expect(sockets).toHaveLength(1);
  });

  it("F2, K8: if the client's `data` is held, the reader gets neither the unread values nor the end before the Hold is released", async () => {
    const { address, sockets } = await greeting(place, 1);
    const client = clientOf(address);
    await watched(client).states.end();
    const hold = client.data.hold();
    const late = recorded(client);
    await turns();
    expect([late.values, late.endings, sockets.length]).toEqual([[], [], 1]);
    hold.release();
    expect(await late.end()).toBe('complete');
    expect(late.values).toEqual(['hello 1']);
  });

  it('K8: the reader gets the messages and the end of the old connection, even if a new subscription to the states has dialled', async () => {
    const { address, sockets } = await greeting(place, 1);
    const client = clientOf(address);
    const states = record(client.pipe(repeat({ delay: 1 })));
    onTestFinished(() => {
      states.subscription.unsubscribe();
    });
    await until(() => sockets.length === 2 && states.values.length === 5);
    const first = recorded(client);
    expect(await first.end()).toBe('complete');
    expect(first.values).toEqual(['hello 1']);
    expect(await recorded(client).count(1)).toEqual(['hello 2']);
    expect(sockets).toHaveLength(2);
  });

  it('K8, K14: with `reconnect`, the reader gets the unread messages of every connection, in order', async () => {
    const { address, sockets } = await greeting(place, 3);
    const client = clientOf(address, { reconnect: { delay: 1 } });
    const { connections } = watched(client);
    await until(() => sockets.length === 4 && connections[3]?.stats.bytesRead === 8);
    expect(await recorded(client).count(4)).toEqual(['hello 1', 'hello 2', 'hello 3', 'hello 4']);
  });

  it('K8: with `retry` on the states, the reader gets the error of each connection before the messages of the next connection', async () => {
    const sockets: net.Socket[] = [];
    const address = await rawServer(place, (socket) => {
      sockets.push(socket);
      socket.write(`hello ${sockets.length}\n`);
    });
    const client = clientOf(address);
    const connections: Connection<string, string>[] = [];
    const states = record(client.pipe(retry(backoff({ initial: 1, max: 1 }))), (state) => {
      if (state.status === 'connected') connections.push(state.connection);
    });
    onTestFinished(() => {
      states.subscription.unsubscribe();
    });
    for (let at = 0; at < 2; at++) {
      await until(() => connections[at]?.stats.bytesRead === 8);
      await abort(sockets[at]!, connections[at]!);
    }
    await until(() => connections[2]?.stats.bytesRead === 8);
    const events: unknown[] = [];
    await new Promise<void>((resolve) => {
      const again = (): void => {
        const subscription = client.data.subscribe({
          next: (line) => {
            events.push(line);
            if (line === 'hello 3') resolve();
          },
          error: () => {
            events.push('error');
            again();
          },
        });
        onTestFinished(() => {
          subscription.unsubscribe();
        });
      };
      again();
    });
    expect(events).toEqual(['hello 1', 'error', 'hello 2', 'error', 'hello 3']);
    expect(sockets).toHaveLength(3);
  });

  it("K8: the reader dials at once if the ended connection's own channels have emitted everything", async () => {
    const { address, sockets } = await greeting(place, 1);
    const client = clientOf(address);
    const own: string[] = [];
    const states = record(client, (state) => {
      if (state.status === 'connected') state.connection.data.subscribe((line) => own.push(line));
    });
    expect(await states.end()).toBe('complete');
    expect(own).toEqual(['hello 1']);
    expect(await recorded(client).count(1)).toEqual(['hello 2']);
    expect(sockets).toHaveLength(2);
  });

  it('K8: the reader is notified once of the end of a connection on which nothing was received', async () => {
    const { address, sockets } = await greeting(place, 1, (n) => (n === 1 ? '' : `hello ${n}\n`));
    const client = clientOf(address);
    await watched(client).states.end();
    const late = recorded(client);
    expect(await late.end()).toBe('complete');
    expect(late.values).toEqual([]);
    expect(sockets).toHaveLength(1);
    expect(await recorded(client).count(1)).toEqual(['hello 2']);
  });

  it.each(['callback', 'microtask', 'turn'] as const)(
    'K8: a reader that subscribes again in a %s after each completion gets the end of each connection once, even if the states have a subscriber',
    async (when) => {
      const { address, sockets } = await greeting(place, 2);
      const client = clientOf(address);
      const { states } = watched(client);
      const events: unknown[] = [];
      await new Promise<void>((resolve) => {
        const again = (): void => {
          const subscription = client.data.subscribe({
            next: (line) => {
              events.push(line);
              if (line === 'hello 3') resolve();
            },
            complete: () => {
              events.push('complete');
              if (events.length > 10) throw new Error('it gets the end again and again');
              if (when === 'callback') again();
              else if (when === 'microtask') queueMicrotask(again);
              else setImmediate(again);
            },
          });
          onTestFinished(() => {
            subscription.unsubscribe();
          });
        };
        again();
      });
      expect(events).toEqual(['hello 1', 'complete', 'hello 2', 'complete', 'hello 3']);
      expect(sockets).toHaveLength(3);
      expect(states.endings).toEqual(['complete']);
    },
  );

  describe.each(['states', 'data'] as const)('with a subscriber to the %s of the client', (what) => {
    it.each(['a callback', 'a microtask', 'a turn', 'the close'] as const)(
      'K8: values sent in %s after a FIN or a reset go out on the next connection, and on no other connection',
      async (when) => {
        const { address, sockets, received } = await greeting(place, 0);
        for (const how of ['fin', 'reset'] as const) {
          // A value sent in the `complete` callback of `data` still goes out on the old connection (C16).
          if (how === 'fin' && what === 'data' && when === 'a callback') continue;
          const before = sockets.length;
          const client = clientOf(address);
          const connections: Connection<string, string>[] = [];
          const watching = client.subscribe({
            next: (state) => {
              if (state.status === 'connected') connections.push(state.connection);
            },
            error: () => undefined,
          });
          const sent: Promise<unknown>[] = [];
          const over = new Promise<void>((resolve) => {
            const send = (): void => {
              expect(client.data.closed).toBe(false);
              client.data.next('next');
              sent.push(client.data.send('send'));
              sent.push(
                new Promise<void>((complete, error) => {
                  client.data.sendFrom(['sendFrom']).subscribe({ complete, error });
                }),
              );
              resolve();
            };
            const end = (): void => {
              if (when === 'a callback') send();
              else if (when === 'a microtask') queueMicrotask(send);
              else if (when === 'a turn') setImmediate(send);
              else connections[0]!.closed.subscribe(send);
            };
            const observer = { error: end, complete: end };
            if (what === 'states') {
              client.data.subscribe({ error: () => undefined });
              client.subscribe(observer);
            } else client.data.subscribe(observer);
          });
          await until(() => connections[0]?.stats.bytesRead === `hello ${before + 1}\n`.length);
          if (what === 'data') watching.unsubscribe();
          if (how === 'fin') sockets[before]!.end();
          else await abort(sockets[before]!, connections[0]!);
          await over;
          await turns(5);
          expect(received[before]!.replaceAll('\0', '')).toBe('');
          const next = recorded(client);
          await until(() => received[before + 1] === 'next\nsend\nsendFrom\n');
          await Promise.all(sent);
          next.subscription.unsubscribe();
        }
      },
    );
  });

  it('K8: after the end of a connection, a `send` of more than highWaterMark does not resolve before the next connection', async () => {
    const { address, received } = await greeting(place, 1);
    const client = clientOf(address, { highWaterMark: 10 });
    await watched(client).states.end();
    const writable = record(client.data.writable);
    expect(writable.values).toEqual([true]);
    let isSent = false;
    const sent = client.data.send('x'.repeat(20)).then(() => (isSent = true));
    await turns();
    expect([isSent, writable.values]).toEqual([false, [true, false]]);
    // The first reader gets the unread messages of the ended connection, and does not dial.
    await recorded(client).end();
    expect(isSent).toBe(false);
    recorded(client);
    await sent;
    await until(() => received[1] === `${'x'.repeat(20)}\n`);
  });

  it('K14: a client without readers keeps a bounded number of ended connections, even if nothing was received on them', async () => {
    const refs: WeakRef<Connection<string, string>>[] = [];
    let count = 0;
    const address = await rawServer(place, (socket) => {
      socket.resume();
      socket.on('end', () => socket.end());
      if (++count <= 70) socket.end('left\n');
    });
    const client = clientOf(address, { reconnect: { delay: 0 }, claimTimeout: 1, closeTimeout: 1 });
    const subscription = client.subscribe((state) => {
      if (state.status === 'connected') refs.push(new WeakRef(state.connection));
    });
    await until(() => refs.length >= 200);
    await turns(3);
    gc?.();
    await turns(3);
    gc?.();
    const alive = refs.filter((ref) => ref.deref() !== undefined).length;
    subscription.unsubscribe();
    expect(alive).toBeLessThan(80);
  });
});
