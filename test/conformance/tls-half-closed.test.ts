import { once } from 'node:events';
import { firstValueFrom } from 'rxjs';
import { connect, type Connection, listen, type ListenOptions } from 'rxjs-sockets';
import { jsonLines, lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { file } from '../support/transport/node/tls/certificates.js';
import { run } from '../support/processes/run-program.js';
import { type Place, realPlaces, securePlaces } from '../support/transport/places.js';
import { acceptedAt, clientAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { readAll } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { asServer, beginAsClient, secured } from '../support/connection/start-tls.js';
import { cutter } from '../support/sockets/tls-client.js';
import { until } from '../support/scheduling/event-loop.js';
import { usesInternals } from '../support/transport/node/internals/uses-internals.js';

const tls = { ...asServer, allowHalfClosed: true };

/** Accepts a connection with `options`. The client of the connection can send a FIN without a close_notify. */
async function cutAt<T>(place: Place, options: ListenOptions<T, T>) {
  let accepted: (connection: Connection<T, T>) => void = () => undefined;
  const near = new Promise<Connection<T, T>>((resolve) => {
    accepted = resolve;
  });
  const { address, server } = await serverAt<T, T>(place, (connection) => accepted(connection), { tls, ...options });
  return { ...(await cutter(address)), near: await near, server };
}

/** Like {@link cutAt}, but `startTls` starts TLS on the open connection. */
async function startedAt<T>(place: Place, { tls: later = tls, ...options }: ListenOptions<T, T>) {
  const { near, raw } = await acceptedAt<T, T>(place, options);
  const started = near.startTls(later);
  const peer = beginAsClient(raw);
  peer.resume();
  await Promise.all([started, secured(peer)]);
  return { near, secured: peer, below: raw };
}

const ways = [
  ...securePlaces.map((place) => ({
    name: `in the options of a listener over ${place.name}`,
    cut: <T>(options: ListenOptions<T, T>) => cutAt(place, options),
  })),
  ...realPlaces.map((place) => ({
    name: `in the options of startTls over ${place.name}`,
    cut: <T>(options: ListenOptions<T, T>) => startedAt(place, options),
  })),
];

describe.each(ways)('allowHalfClosed $name', ({ cut }) => {
  it('T11: between frames, a FIN without a close_notify is the end, and the client still gets the answer', async () => {
    const { near, secured, below } = await cut<string>({ codec: lines() });
    const recording = record(near.data);
    const answer = readAll(secured);
    secured.write('one\ntwo\n', () => below.end());
    expect(await recording.end()).toBe('complete');
    expect(recording.values).toEqual(['one', 'two']);
    near.data.next('both');
    near.data.complete();
    expect(String(await answer)).toBe('both\n');
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
  });

  it('T11: a FIN without a close_notify is the end even if the client has sent nothing, or if this side has not read everything', async () => {
    const silent = await cut<string>({ codec: lines() });
    const nothing = record(silent.near.data);
    silent.below.end();
    expect(await nothing.end()).toBe('complete');
    silent.near.data.complete();
    expect(await firstValueFrom(silent.near.closed)).toMatchObject({ reason: 'finished' });
    const { near, secured, below } = await cut<Buffer>({});
    secured.write(Buffer.alloc(200_000), () => below.end());
    const hold = near.data.hold();
    let size = 0;
    const recording = record(near.data, (chunk) => (size += chunk.length));
    await until(() => near.stats.bytesRead > 65_535);
    hold.release();
    expect(await recording.end()).toBe('complete');
    expect(size).toBe(200_000);
    near.data.complete();
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
  });

  it.each([
    ['a frame', lengthPrefixed(), Buffer.from([0, 0, 0, 9, 65]), []],
    ['a header', lengthPrefixed(), Buffer.from([0, 0]), []],
    ['a line', lines(), Buffer.from('whole\npart'), ['whole']],
    ['a message', jsonLines(), Buffer.from('1\n2'), [1]],
  ])('T11: a FIN inside %s, without close_notify, is still ERR_FRAME_TRUNCATED', async (name, codec, bytes, whole) => {
    const { near, secured, below } = await cut<unknown>({ codec });
    const recording = record(near.data);
    secured.write(bytes, () => below.end());
    if (name === 'a line' && !usesInternals) {
      // If the transport does not use Node's internals, every FIN counts as the end, and then the last line needs no
      // newline (D4).
      expect(await recording.end()).toBe('complete');
      near.destroy();
      return;
    }
    expect(await recording.end()).toMatchObject({ code: 'ERR_FRAME_TRUNCATED' });
    expect(recording.values).toEqual(whole);
    expect(await firstValueFrom(near.closed)).toMatchObject({ error: { code: 'ERR_FRAME_TRUNCATED' } });
  });

  it('T11: after a close_notify, the last line needs no newline', async () => {
    const { near, secured } = await cut<string>({ codec: lines() });
    const recording = record(near.data);
    secured.end('whole\npart');
    expect(await recording.end()).toBe('complete');
    expect(recording.values).toEqual(['whole', 'part']);
    near.destroy();
  });

  it('T11: if `allowHalfClosed` is omitted or false, a FIN without a close_notify is ERR_TLS', async () => {
    for (const options of [{ tls: asServer }, { tls: { ...asServer, allowHalfClosed: false } }]) {
      const { near, secured, below } = await cut<string>({ codec: lines(), ...options });
      const recording = record(near.data);
      secured.write('one\n', () => below.end());
      if (usesInternals) expect(await recording.end()).toMatchObject({ code: 'ERR_TLS' });
      else expect(await recording.end()).toBe('complete');
      expect(recording.values).toEqual(['one']);
      near.destroy();
    }
  });

  it('T11: the options with `allowHalfClosed` can come from a function', async () => {
    const { near, below } = await cut<string>({ codec: lines(), tls: () => tls });
    const recording = record(near.data);
    below.end();
    expect(await recording.end()).toBe('complete');
    near.destroy();
  });
});

describe('allowHalfClosed', () => {
  it.each(securePlaces)(
    'T11: a client ignores `allowHalfClosed`, so client and server can share an options object, over $name',
    async (place) => {
      const address = await rawServer(place, (socket) => socket.destroy());
      const { connection } = await clientAt(place, address, { tls: { ...place.options.tls, ...tls } });
      const end = await record(connection.data).end();
      if (usesInternals) expect(end).toMatchObject({ code: 'ERR_TLS' });
      else expect(end).toBe('complete');
    },
  );

  it.each(['yes', 1, 0, null, {}])('T2: `allowHalfClosed` of %o is refused at once', (allowHalfClosed) => {
    const naming = expect.objectContaining({
      code: 'ERR_OPTION_INVALID',
      message: expect.stringContaining('tls.allowHalfClosed') as string,
    }) as Error;
    expect(() => listen({ port: 0 }, { tls: { ...asServer, allowHalfClosed: allowHalfClosed as never } })).toThrow(
      naming,
    );
    expect(() => connect({ port: 1 }, { tls: { allowHalfClosed } as never })).toThrow(naming);
  });

  it.each(securePlaces)('T11: curl gets its page and ends cleanly, over $name', async (place) => {
    const requests: string[] = [];
    const connections: Connection<string, string>[] = [];
    const { server, address } = await serverAt<string, string>(
      place,
      (connection) => {
        connections.push(connection);
        void (async () => {
          for await (const line of connection.data) {
            if (line !== '') requests.push(line);
            else connection.bytes.next('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n');
          }
          connection.data.complete();
        })().catch(() => undefined);
      },
      { codec: lines({ delimiter: '\r\n' }), tls },
    );
    const incidents = record(server.incidents);
    const where =
      address.transport === 'tcp'
        ? [`https://127.0.0.1:${address.port}/page`]
        : ['--unix-socket', (address as { path: string }).path, 'https://localhost/page'];
    const curl = run('curl', '-sS', '--http1.1', '--noproxy', '*', '--cacert', file('authority.pem'), ...where);
    let page = '';
    curl.stdout.on('data', (chunk) => (page += String(chunk)));
    expect(await once(curl, 'close')).toEqual([0, null]);
    expect(page).toBe('hello\n');
    expect(requests[0]).toBe('GET /page HTTP/1.1');
    expect(await firstValueFrom(connections[0]!.closed)).toMatchObject({ reason: 'finished' });
    expect(incidents.values).toEqual([]);
  });
});
