import { getEventListeners } from 'node:events';
import { NEVER, noop } from 'rxjs';
import { type Client, connect, type ConnectOptions, SocketError } from 'rxjs-sockets';
import { describe, expect, it } from 'vitest';
import { deadAddress } from '../support/client/dialled-servers.js';
import '../support/leaks.js';
import { realPlaces } from '../support/transport/places.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';

const reason = new Error('enough');

function aborted(): { code: string; cause: unknown } {
  return { code: 'ERR_CLOSED', cause: reason };
}

describe.each(realPlaces)('the signal of a client on $name', (place) => {
  async function dial(options: ConnectOptions = {}): Promise<{ client: Client; controller: AbortController }> {
    const address = await rawServer(place, (socket) => {
      socket.resume();
      socket.on('end', () => socket.end());
    });
    const controller = new AbortController();
    return { client: connect(address, { ...options, signal: controller.signal }), controller };
  }

  it('C29: connect throws ERR_CLOSED if the signal is already aborted', () => {
    const error = thrown(() => connect('tcp://127.0.0.1:1', { signal: AbortSignal.abort(reason) }));
    expect(error).toBeInstanceOf(SocketError);
    expect(error).toMatchObject(aborted());
  });

  it('C29: if the signal is aborted before the first subscription, nothing is dialled', async () => {
    const { client, controller } = await dial();
    controller.abort(reason);
    const states = record(client);
    expect(await states.end()).toMatchObject(aborted());
    expect(states.values.map(({ status }) => status)).toEqual(['connecting', 'disconnected']);
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
  });

  it.each(['connecting', 'connected'] as const)('C29: aborting the signal ends a client that is %s', async (when) => {
    const { client, controller } = await dial({ reconnect: { delay: 0 } });
    const states = record(client);
    const data = record(client.data);
    await until(() => states.values.at(-1)?.status === when);
    controller.abort(reason);
    expect(await states.end()).toMatchObject(aborted());
    expect(await data.end()).toMatchObject(aborted());
    expect(states.values.at(-1)?.status).toBe('disconnected');
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
  });

  it('C29, K18: aborting the signal during `prepare` ends the client', async () => {
    let begun = false;
    const { client, controller } = await dial({
      prepare: () => {
        begun = true;
        return NEVER;
      },
    });
    const states = record(client);
    await until(() => begun);
    controller.abort(reason);
    expect(await states.end()).toMatchObject(aborted());
    expect(states.values.map(({ status }) => status)).toEqual(['connecting', 'disconnected']);
  });

  it('C29, K10: if the signal is aborted while the client waits for its next attempt, the client ends', async () => {
    const controller = new AbortController();
    const client = connect(await deadAddress(place), { signal: controller.signal, reconnect: { delay: 100_000 } });
    const states = record(client);
    await until(() => states.values.at(-1)?.status === 'waiting');
    controller.abort(reason);
    expect(await states.end()).toMatchObject(aborted());
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
  });

  it('C29: nothing listens to the signal while the client has no subscriber', async () => {
    const { client, controller } = await dial();
    const listeners = (): number => getEventListeners(controller.signal, 'abort').length;
    expect(listeners()).toBe(0);
    for (let count = 0; count < 3; count++) {
      const states = record(client);
      const data = client.data.subscribe({ error: noop });
      await until(() => states.values.at(-1)?.status === 'connected');
      expect(listeners()).toBe(1);
      states.subscription.unsubscribe();
      data.unsubscribe();
      await turns(2);
      expect(listeners()).toBe(0);
    }
  });
});

function thrown(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}
