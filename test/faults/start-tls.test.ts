import { firstValueFrom } from 'rxjs';
import { type Address, backoff, type Closed, connect, type Connection } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { faulty, type Faults } from 'rxjs-sockets/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { realPlaces } from '../support/transport/places.js';
import { clientAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { record } from '../support/recording/record.js';
import { asClient, asServer, beginAsServer } from '../support/connection/start-tls.js';
import { until } from '../support/scheduling/event-loop.js';

/** A server that starts TLS on request and then echoes, with records of what it receives and how connections end. */
async function upgrading(
  place: (typeof realPlaces)[number],
  handshakeTimeout: number,
): Promise<{ address: Address; ended: Closed[]; heard: string[] }> {
  const ended: Closed[] = [];
  const heard: string[] = [];
  const { address } = await serverAt<string, string>(
    place,
    (connection) => {
      connection.closed.subscribe({ next: (closed) => ended.push(closed), error: () => undefined });
      connection.data.subscribe({
        next: (line) => {
          heard.push(`${connection.tls === undefined ? 'clear' : 'tls'} ${line}`);
          connection.data.next(line === 'STARTTLS' ? 'go ahead' : line);
          if (line === 'STARTTLS') void connection.startTls(asServer);
        },
        error: () => undefined,
        complete: () => connection.data.complete(),
      });
    },
    { codec: lines(), handshakeTimeout },
  );
  return { address, ended, heard };
}

describe.each(realPlaces)('starting TLS through a faulty proxy, over $name', (place) => {
  async function through(address: Address, up: Faults, down: Faults = up): Promise<Address> {
    const proxy = faulty(address, { up, down, listen: await place.address() });
    onTestFinished(() => proxy.shutdown());
    return firstValueFrom(proxy.listening);
  }

  async function talk(connection: Connection<string, string>, handshakeTimeout: number): Promise<string> {
    const { data } = connection;
    data.next('STARTTLS');
    await firstValueFrom(data);
    await connection.startTls({ ...asClient, handshakeTimeout });
    data.next('hello');
    const answer = await firstValueFrom(data);
    data.complete();
    return answer;
  }

  it('T10: works if the bytes arrive one at a time', async () => {
    const { address, ended, heard } = await upgrading(place, 0);
    const { connection } = await clientAt<string, string>(place, await through(address, { slices: 1 }), {
      codec: lines(),
      halfOpen: true,
    });
    expect(await talk(connection, 0)).toBe('hello');
    await until(() => ended.length === 1);
    expect(heard).toEqual(['clear STARTTLS', 'tls hello']);
    expect(ended).toMatchObject([{ reason: 'finished' }]);
  });

  it.each(['cutAfter', 'resetAfter', 'blackHoleAfter'] as const)(
    'T10: fails on both sides wherever the connection breaks, and emits nothing that was not sent: %s',
    async (fault) => {
      const { address, ended, heard } = await upgrading(place, 300);
      const offsets = [9, 10, 11, 100, 300, 500, 800, 1_200];
      const attempts = offsets.map(async (offset, index) => {
        const where = await through(address, { [fault]: offset }, index % 2 === 0 ? {} : { [fault]: offset });
        const { connection } = await clientAt<string, string>(place, where, {
          codec: lines(),
          halfOpen: true,
          closeTimeout: 200,
          idleTimeout: 600,
        });
        const outcome = await talk(connection, 300).catch((error: unknown) => error);
        if (outcome !== 'hello') expect(outcome).toBeInstanceOf(Error);
        connection.destroy();
        await firstValueFrom(connection.closed);
      });
      await Promise.all(attempts);
      await until(() => ended.length === offsets.length);
      expect(heard.every((line) => ['clear STARTTLS', 'tls hello'].includes(line))).toBe(true);
    },
  );

  it('K17: is tried again by a client with reconnect after a failed handshake', async () => {
    let attempts = 0;
    const address = await rawServer(place, (raw) => {
      attempts++;
      if (attempts === 1) raw.write('garbage in place of a handshake');
      else {
        const peer = beginAsServer(raw);
        peer.on('secure', () => peer.write('hello\n'));
      }
    });
    const client = connect<string, string>(address, { codec: lines(), reconnect: backoff({ initial: 1, max: 1 }) });
    const errors: unknown[] = [];
    const states = record(client, (state) => {
      if (state.status === 'connected') void state.connection.startTls(asClient);
      if (state.status === 'disconnected') errors.push(state.error?.code);
    });
    expect(await firstValueFrom(client.data)).toBe('hello');
    expect(errors).toEqual(['ERR_TLS']);
    states.subscription.unsubscribe();
  });
});
