import type tls from 'node:tls';
import { firstValueFrom, take, toArray } from 'rxjs';
import { backoff, connect, type Connection, type SocketError } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { other, server as identity, stranger } from '../support/transport/node/tls/certificates.js';
import '../support/leaks.js';
import { memory, realPlaces, tcp } from '../support/transport/places.js';
import { acceptedAt, clientAt, dialledAt, pairAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { readBytes } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import {
  asClient,
  asServer,
  beginAsClient,
  beginAsServer,
  failureOf,
  secured,
  sides,
} from '../support/connection/start-tls.js';
import { until } from '../support/scheduling/event-loop.js';
import { usesInternals } from '../support/transport/node/internals/uses-internals.js';

const invalid = (text: string): object =>
  expect.objectContaining({ code: 'ERR_OPTION_INVALID', message: expect.stringContaining(text) as string }) as object;

describe.each(realPlaces)('TLS on an open connection, over $name', (place) => {
  it('T10: a dialled connection verifies its server as rule T1 says', async () => {
    const refusal = async (shown: object, options: object): Promise<string | undefined> => {
      const { near, raw } = await sides.find((one) => one.role === 'dialled' && one.place === place)!.pair();
      const started = near.startTls(options);
      beginAsServer(raw, shown);
      const { error } = await failureOf(
        started.finally(() => near.destroy()),
        near,
      );
      if (error !== undefined) expect(error).toMatchObject({ code: 'ERR_TLS' });
      return (error as SocketError | undefined)?.message.replace('the TLS handshake failed: ', '');
    };
    const { ca } = asClient;
    expect(await refusal(identity, { ca })).toBeUndefined();
    // Newer versions of Node append advice to the message.
    expect(await refusal(identity, {})).toMatch(/^unable to verify the first certificate/);
    expect(await refusal(stranger, { ca })).toMatch(/self.signed/);
    expect(await refusal(other, { ca, servername: 'localhost' })).toMatch(/altnames/);
    expect(await refusal(other, { ca, servername: 'other.test' })).toBeUndefined();
    // The certificate is for 127.0.0.1, not for localhost, which is the default name over a unix socket.
    expect(await refusal(other, { ca })).toEqual(
      place === tcp ? undefined : (expect.stringMatching(/altnames/) as string),
    );
    expect(await refusal(stranger, { rejectUnauthorized: false })).toBeUndefined();
  });

  it('T10: a client sends and verifies the name of the dialled host', async () => {
    const asked: (string | false | undefined)[] = [];
    const { address } = await serverAt<string, string>(
      place,
      (connection) => {
        connection.data.next('220 go ahead');
        void connection.startTls(asServer).then(({ servername }) => asked.push(servername));
      },
      { codec: lines() },
    );
    const where = address.transport === 'tcp' ? { ...address, host: 'localhost' } : address;
    const { connection } = await clientAt<string, string>(place, where, { codec: lines() });
    expect(await firstValueFrom(connection.data)).toBe('220 go ahead');
    expect(await connection.startTls({ ca: asClient.ca })).toMatchObject({ authorized: true });
    await until(() => asked.length === 1);
    expect(asked).toEqual(place === tcp ? ['localhost'] : [undefined]);
  });

  it('T10: with `isServer`, a dialled connection acts as the server, and refuses a FIN without a close_notify', async () => {
    const { near, raw } = await dialledAt(place, { halfOpen: true });
    const recording = record(near.data);
    const started = near.startTls({ ...asServer, isServer: true });
    const peer = beginAsClient(raw);
    const [info] = await Promise.all([started, secured(peer)]);
    expect(info).toMatchObject({ authorized: false });
    expect(info.session).toBeUndefined();
    peer.write('hello');
    expect(await recording.count(1)).toEqual([Buffer.from('hello')]);
    raw.end(); // If the runtime shows that the close_notify is missing, a server does not accept the FIN (T5).
    const cutOff = { reason: 'failed', error: { code: 'ERR_TLS' } };
    if (usesInternals) expect(await firstValueFrom(near.closed)).toMatchObject(cutOff);
    else expect(await recording.end()).toBe('complete');
  });

  it('T10: with `isServer`, `startTls` requires the options of a server', async () => {
    const { near } = await dialledAt(place);
    await expect(near.startTls({ ca: asClient.ca, isServer: true })).rejects.toThrow(invalid('a server needs `key`'));
  });

  it('T10: with `requestCert`, an accepted connection has the certificate of its client, or fails if the client is not verified', async () => {
    const { near, raw } = await acceptedAt(place);
    const started = near.startTls({ ...asServer, ca: asClient.ca, requestCert: true });
    beginAsClient(raw, { ...identity });
    expect(await started).toMatchObject({ authorized: true, peerCertificate: { subject: { CN: 'localhost' } } });
    const refused = await acceptedAt(place);
    refused.raw.resume();
    const refusing = refused.near.startTls({ ...asServer, ca: asClient.ca, requestCert: true });
    beginAsClient(refused.raw, { ...stranger });
    const { error } = await failureOf(refusing, refused.near);
    expect(error).toMatchObject({
      code: 'ERR_TLS',
      // If the transport does not use Node's internals, it cannot find out why the client left.
      message: expect.stringContaining(usesInternals ? 'certificate is refused' : 'the client has gone') as string,
    });
  });

  it('T10: a function can return the options for each accepted connection, and a failed handshake is reported in incidents', async () => {
    const accepted: Connection[] = [];
    const { server, address } = await serverAt(place, (connection) => accepted.push(connection));
    const incidents = record(server.incidents);
    let asked = 0;
    const options = (): typeof asServer => {
      asked++;
      return asServer;
    };
    for (let index = 0; index < 2; index++) {
      const { connection } = await clientAt(place, address);
      await until(() => accepted.length === index + 1);
      const started = accepted[index]!.startTls(options);
      await connection.startTls(asClient);
      await started;
    }
    expect(asked).toBe(2);
    const { connection } = await clientAt(place, address);
    await until(() => accepted.length === 3);
    const { error } = await failureOf(accepted[2]!.startTls({ ...asServer, handshakeTimeout: 1 }), accepted[2]!);
    expect(await incidents.count(1)).toEqual([error]);
    connection.destroy();
  });

  it("T10: values queued on the client during the handshake are sent encrypted, and received values go to the client's `data`", async () => {
    const { address } = await serverAt<string, string>(
      place,
      (connection) => {
        const { data } = connection;
        void firstValueFrom(data).then((line) => {
          data.next(`${line}: go ahead`);
          void connection.startTls(asServer).then(() => data.subscribe(data));
        });
      },
      { codec: lines() },
    );
    const { client, connection } = await clientAt<string, string>(place, address, { codec: lines(), halfOpen: true });
    connection.data.next('STARTTLS');
    const answered = firstValueFrom(connection.data);
    expect(await answered).toBe('STARTTLS: go ahead');
    const started = connection.startTls(asClient);
    const heard = firstValueFrom(client.data.pipe(take(2), toArray()));
    client.data.next('one');
    connection.data.next('two');
    expect(await heard).toEqual(['one', 'two']);
    expect(connection.tls).toBe(await started);
  });

  it('T10: starting TLS does not change the addresses of a connection', async () => {
    const side = sides.find((one) => one.role === 'dialled' && one.place === place)!;
    const { near, raw } = await side.pair();
    const { local, remote } = near;
    const started = near.startTls(side.options);
    side.begin(raw);
    await started;
    expect([near.local, near.remote]).toEqual([local, remote]);
    near.destroy();
  });
});

describe.each(sides.filter(({ role }) => role === 'dialled'))('a client whose TLS starts later, $name', ({ place }) => {
  /** Starts a plain server that begins TLS after the first line of each client. */
  async function upgradingServer(answers: readonly ('TLS' | 'garbage')[]) {
    const clear: string[] = [];
    const encrypted: string[] = [];
    const peers: tls.TLSSocket[] = [];
    let count = 0;
    const address = await rawServer(place, (raw) => {
      const answer = answers[count++] ?? 'TLS';
      raw.once('data', (chunk) => {
        clear.push(String(chunk));
        raw.write('go ahead\n');
        if (answer === 'garbage') raw.write('nothing like a handshake');
        else {
          const peer = beginAsServer(raw);
          peers.push(peer);
          peer.on('data', (bytes) => encrypted.push(String(bytes)));
        }
      });
    });
    return { address, clear, encrypted, peers };
  }

  it('K18: if TLS starts in `prepare`, no queued value is sent in the clear, even after a failed handshake', async () => {
    const { address, clear, encrypted } = await upgradingServer(['garbage']);
    const errors: unknown[] = [];
    const client = connect<string, string>(address, {
      codec: lines(),
      reconnect: backoff({ initial: 1, max: 1 }),
      prepare: async (connection) => {
        connection.data.next('STARTTLS');
        expect(await firstValueFrom(connection.data)).toBe('go ahead');
        await connection.startTls(asClient);
        connection.data.next('login');
      },
    });
    client.data.next('a secret');
    const states = record(client, (state) => {
      if (state.status === 'disconnected') errors.push(state.error?.code);
    });
    await until(() => encrypted.join('') === 'login\na secret\n');
    expect(clear).toEqual(['STARTTLS\n', 'STARTTLS\n']);
    expect(errors).toEqual(['ERR_TLS']);
    states.subscription.unsubscribe();
  });

  it('T10: values sent on the client and on its connection keep their order, before and after TLS starts', async () => {
    const { address, clear, encrypted } = await upgradingServer([]);
    const { client, connection } = await clientAt<string, string>(place, address, { codec: lines(), halfOpen: true });
    const heard = record(connection.data);
    client.data.next('client 1');
    connection.data.next('own 1');
    client.data.next('client 2');
    const answered = heard.count(1);
    await answered;
    const started = connection.startTls(asClient);
    connection.data.next('own 2');
    client.data.next('client 3');
    connection.data.next('own 3');
    await started;
    client.data.next('client 4');
    await until(() => encrypted.join('').includes('client 4'));
    expect(clear.join('')).toBe('client 1\nown 1\nclient 2\n');
    expect(encrypted.join('')).toBe('own 2\nclient 3\nown 3\nclient 4\n');
  });

  it('C5, K4: if a connection is destroyed in a handshake, values queued on the connection are dropped, and values queued on the client go to the next connection', async () => {
    const { address, clear, encrypted } = await upgradingServer([]);
    const connections: Connection<string, string>[] = [];
    const client = connect<string, string>(address, { codec: lines(), reconnect: backoff({ initial: 1, max: 1 }) });
    const states = record(client, (state) => {
      if (state.status === 'connected') connections.push(state.connection);
    });
    await until(() => connections.length === 1);
    const [first] = connections as [Connection<string, string>];
    const started = first.startTls(asClient);
    first.data.next('own');
    client.data.next("the client's");
    first.destroy();
    await expect(started).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    await until(() => clear.length === 1);
    expect(clear).toEqual(["the client's\n"]);
    expect(encrypted).toEqual([]);
    states.subscription.unsubscribe();
  });
});

describe('TLS on an open connection', () => {
  it('T10: `startTls` is refused by a transport without TLS, and the connection continues', async () => {
    const { near, far } = await pairAt<string, string>(memory(), { codec: lines() });
    await expect(near.startTls(asClient)).rejects.toEqual(invalid('the transport has no TLS'));
    const heard = record(far.data);
    near.data.next('goes on');
    expect(await heard.count(1)).toEqual(['goes on']);
  });

  it('T10: an encoder cannot start TLS on its connection', async () => {
    let refused: Promise<unknown> | undefined;
    const { near, raw } = await acceptedAt<string, string>(tcp, {
      codec: {
        decoder: () => lines().decoder(),
        encoder: () => ({
          encode: (value, sink) => {
            refused = near.startTls(asServer);
            refused.catch(() => undefined);
            sink.text(value, 'utf8');
          },
        }),
      },
    });
    near.data.next('goes on');
    await expect(refused).rejects.toEqual(invalid('encoder'));
    expect(String(await readBytes(raw, 7))).toBe('goes on');
    near.destroy();
  });
});
