import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import net from 'node:net';
import tls from 'node:tls';
import { firstValueFrom, take, toArray } from 'rxjs';
import {
  type Address,
  connect,
  type Connection,
  formatAddress,
  listen,
  type ListenOptions,
  serve,
  type SocketError,
} from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { authority, client, expired, other, server, stranger } from '../support/transport/node/tls/certificates.js';
import '../support/leaks.js';
import { type Place, realPlaces, securePlaces, tcp } from '../support/transport/places.js';
import { clientAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { record } from '../support/recording/record.js';
import { until } from '../support/scheduling/event-loop.js';

const refused = expect.objectContaining({
  code: 'ERR_OPTION_INVALID',
  message: expect.stringContaining('tls') as string,
}) as Error;

/** Whether Node accepts a certificate issued for ::1, which Node 22.23.0 to 22.23.3 refuse. */
const verifiesIPv6 = tls.checkServerIdentity('::1', new X509Certificate(server.cert).toLegacyObject()) === undefined;

async function tlsServer(
  place: Place,
  handler: (connection: Connection<string, string>) => void,
  options: Partial<ListenOptions<string, string>> = {},
) {
  const listening = listen<string, string>(await place.address(), { codec: lines(), tls: server, ...options });
  const incidents: string[] = [];
  listening.incidents.subscribe({ next: (error) => incidents.push(error.code), error: () => undefined });
  const bound = firstValueFrom(listening.listening);
  const subscription = listening.subscribe(handler);
  onTestFinished(() => {
    subscription.unsubscribe();
    for (const connection of listening.connections) connection.destroy();
  });
  return { listening, incidents, address: await bound };
}

function dial(address: Address, options: object = {}) {
  return connect<string, string>(address, {
    codec: lines(),
    tls: { ca: authority, servername: 'localhost', ...options },
  });
}

function rawTls(address: Address, options: tls.ConnectionOptions = {}): tls.TLSSocket {
  const where =
    address.transport === 'tcp'
      ? { port: address.port, host: '127.0.0.1' }
      : { path: address.transport === 'unix' ? address.path : '' };
  const socket = tls.connect({
    ...where,
    ca: authority,
    servername: 'localhost',
    ...options,
    ...{ allowHalfOpen: true },
  });
  socket.on('error', () => undefined);
  onTestFinished(() => {
    socket.destroy();
  });
  return socket;
}

describe.each(realPlaces)('TLS over $name', (place) => {
  it('C1: a server echoes to a plain TLS client, even after the client has ended its side (C6)', async () => {
    const { address } = await tlsServer(place, ({ data }) => data.subscribe(data));
    const raw = rawTls(address);
    raw.end('a\nb\n');
    let got = '';
    for await (const chunk of raw) got += String(chunk);
    expect(got).toBe('a\nb\n');
  });

  it("T9: with the library on both sides, TLS works in both directions, and `tls` shows the peer's identity", async () => {
    const { address } = await tlsServer(place, ({ data }) => data.subscribe(data), {
      tls: { ...server, ALPNProtocols: ['chat'] },
    });
    const dialled = dial(address, { ALPNProtocols: ['chat'] });
    const states: string[] = [];
    const connected = new Promise<Connection<string, string>>((resolve, reject) => {
      dialled.subscribe({
        next: (state) => {
          states.push(state.status);
          if (state.status === 'connected') resolve(state.connection);
        },
        error: reject,
      });
    });
    const got = firstValueFrom(dialled.data.pipe(take(2), toArray()));
    dialled.data.next('x');
    dialled.data.next('y');
    expect(await got).toEqual(['x', 'y']);
    const { tls: info, closed } = await connected;
    expect(info).toMatchObject({ authorized: true, alpnProtocol: 'chat', protocol: 'TLSv1.3' });
    expect(info?.peerCertificate.subject.CN).toBe('localhost');
    dialled.data.complete();
    expect(await firstValueFrom(closed)).toMatchObject({ reason: 'finished' });
    expect(states).toEqual(['connecting', 'connected', 'disconnected']);
  });

  it('C11: a large reply arrives complete, although the server does not read all the input of the peer', async () => {
    const reply = 'r'.repeat(4_000_000);
    const { address } = await tlsServer(
      place,
      (connection) => {
        void firstValueFrom(connection.data).then(async () => {
          connection.bytes.next(reply);
          await connection.close();
        });
      },
      { maxBuffered: 8_000_000 },
    );
    const raw = rawTls(address);
    raw.write('go\n' + 'more\n'.repeat(20_000));
    let length = 0;
    for await (const chunk of raw) length += (chunk as Buffer).length;
    raw.end();
    expect(length).toBe(reply.length);
  });

  it('S4: garbage, and a handshake that stops halfway, end only their own connection, and are reported as incidents', async () => {
    const { address, incidents, listening } = await tlsServer(place, ({ data }) => data.subscribe(data), {
      handshakeTimeout: 200,
    });
    const firstTwo = firstValueFrom(listening.incidents.pipe(take(2), toArray()));
    for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '\x16\x03\x01']) {
      const plain =
        address.transport === 'tcp'
          ? net.connect(address.port, '127.0.0.1')
          : net.connect(address.transport === 'unix' ? address.path : '');
      plain.on('error', () => undefined);
      plain.write(bytes, 'latin1');
      onTestFinished(() => {
        plain.destroy();
      });
    }
    await firstTwo;
    expect(incidents.sort()).toEqual(['ERR_TIMEOUT_HANDSHAKE', 'ERR_TLS']);
    const raw = rawTls(address);
    raw.end('still there\n');
    let got = '';
    for await (const chunk of raw) got += String(chunk);
    expect(got).toBe('still there\n');
  });

  it('T4: a server with `requestCert` refuses a client with no certificate or with a wrong certificate', async () => {
    const seen: (string | undefined)[] = [];
    const { address, incidents } = await tlsServer(
      place,
      (connection) => {
        seen.push(connection.tls?.peerCertificate.subject.CN as string | undefined);
        connection.data.subscribe(connection.data);
      },
      { tls: { ...server, ca: authority, requestCert: true, rejectUnauthorized: true } },
    );
    const good = dial(address, client);
    const got = firstValueFrom(good.data);
    good.data.next('in');
    expect(await got).toBe('in');
    expect(seen).toEqual(['somebody']);
    for (const bad of [{}, stranger]) {
      const refused = dial(address, bad);
      const served: string[] = [];
      refused.data.next('let me in');
      // A TLS 1.3 client finishes its handshake before the server has verified the client. So it is possible that the
      // client sees only an end.
      await new Promise<void>((resolve) => {
        refused.data.subscribe({
          next: (line) => served.push(line),
          error: () => resolve(),
          complete: () => resolve(),
        });
      });
      expect(served).toEqual([]);
    }
    expect(seen).toEqual(['somebody']);
    await until(() => incidents.length >= 2);
    expect(incidents).toHaveLength(2);
  });

  it("T1: the message of a failed handshake contains OpenSSL's reason, without OpenSSL's error codes and file names", async () => {
    const address = await rawServer(place, (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const error = (await record(connect(address, { tls: { ca: authority } })).end()) as SocketError;
    expect(error).toMatchObject({ code: 'ERR_TLS', cause: { code: 'ERR_SSL_WRONG_VERSION_NUMBER' } });
    expect(error.message).toMatch(/^connect to \S+: wrong version number$/);
  });
});

describe('TLS', () => {
  it('K3: a client does not connect to a server that it cannot verify, even if NODE_TLS_REJECT_UNAUTHORIZED is 0', async () => {
    const { address } = await tlsServer(tcp, ({ data }) => data.subscribe(data));
    const before = process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
    onTestFinished(() => {
      if (before === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
      else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = before;
    });
    for (const options of [{ ca: stranger.cert }, { servername: 'wrong.test' }]) {
      const error = await new Promise((resolve) => dial(address, options).subscribe({ error: resolve }));
      expect(error).toMatchObject({ code: 'ERR_TLS' });
    }
    const trusting = dial(address, { ca: stranger.cert, rejectUnauthorized: false });
    const got = firstValueFrom(trusting.data);
    trusting.data.next('on purpose');
    expect(await got).toBe('on purpose');
  });

  it('T1: dialling a tls:// address uses TLS and verifies the server by default, and the address of a TLS server has `tls: true`', async () => {
    const { address } = await tlsServer(tcp, ({ data }) => data.subscribe(data));
    expect(address).toMatchObject({ transport: 'tcp', tls: true });
    const dialled = connect<string, string>(`tls://127.0.0.1:${address.transport === 'tcp' ? address.port : 0}`, {
      codec: lines(),
      tls: { ca: authority },
    });
    const got = firstValueFrom(dialled.data);
    dialled.data.next('by name');
    expect(await got).toBe('by name');
  });

  it('T8: a server presents the certificate for the requested name, and needs no restart for new certificates', async () => {
    let current: tls.TlsOptions = server;
    const { address } = await tlsServer(tcp, ({ data }) => data.subscribe(data), { tls: () => current });
    const certificate = async (servername: string): Promise<string> => {
      const raw = rawTls(address, { servername });
      await new Promise((resolve, reject) => raw.once('secureConnect', resolve).once('error', reject));
      return String(raw.getPeerCertificate().subject.CN);
    };
    expect(await certificate('localhost')).toBe('localhost');
    current = other;
    expect(await certificate('other.test')).toBe('other.test');
    const context = tls.createSecureContext(server);
    current = { ...other, SNICallback: (name, callback) => callback(null, name === 'localhost' ? context : undefined) };
    expect(await certificate('localhost')).toBe('localhost');
    expect(await certificate('other.test')).toBe('other.test');
  });

  it('S6: serve works over TLS', async () => {
    const listening = listen<string, string>({ port: 0 }, { codec: lines(), tls: server });
    const bound = firstValueFrom(listening.listening);
    const ended = firstValueFrom(listening.pipe(serve(({ data }) => data)));
    const raw = rawTls(await bound);
    raw.end('x\n');
    let got = '';
    for await (const chunk of raw) got += String(chunk);
    expect(got).toBe('x\n');
    expect(await ended).toMatchObject({ reason: 'finished' });
  });

  it('T1: no environment variable disables the verification', async () => {
    const { address } = await tlsServer(tcp, ({ data }) => data.subscribe(data), { tls: stranger });
    const dialler = fileURLToPath(new URL('../support/transport/node/tls/dial-untrusted.ts', import.meta.url));
    const dials = async (...args: string[]): Promise<string> => {
      const { stdout } = await promisify(execFile)(process.execPath, [dialler, formatAddress(address), ...args], {
        cwd: fileURLToPath(new URL('../..', import.meta.url)),
        env: {
          ...process.env,
          NODE_TLS_REJECT_UNAUTHORIZED: '0',
          NODE_OPTIONS: '--import tsx --conditions=rxjs-sockets-source',
        },
      });
      return stdout.trim();
    };
    expect(await Promise.all([dials(), dials('trusting')])).toEqual(['ERR_TLS', 'connected']);
  });

  it('T8: if the `tls` function fails for a client, only that client is dropped, and connected clients continue', async () => {
    let give: () => tls.TlsOptions = () => server;
    const { address, listening } = await tlsServer(tcp, ({ data }) => data.subscribe(data), { tls: () => give() });
    const incidents = record(listening.incidents);
    const earlier = dial(address);
    const got = record(earlier.data);
    earlier.data.next('one');
    await got.count(1);
    const failures = [
      () => {
        throw new Error('no such file');
      },
      () => ({ key: 'half of a', cert: 'file' }),
      () => undefined as never,
    ];
    for (const fails of failures) {
      give = fails;
      expect(await record(dial(address)).end()).toMatchObject({ code: 'ERR_TLS' });
    }
    expect(await incidents.count(3)).toMatchObject(failures.map(() => ({ code: 'ERR_OPTION_INVALID' })));
    give = () => ({ ...server, ALPNProtocols: ['new'] });
    earlier.data.next('two');
    expect(await got.count(2)).toEqual(['one', 'two']);
    const { connection } = await clientAt(tcp, address, { tls: { ca: authority, ALPNProtocols: ['old', 'new'] } });
    expect(connection.tls?.alpnProtocol).toBe('new');
    got.subscription.unsubscribe();
  });

  it('T9: the handshake fails if the two sides have no protocol in common', async () => {
    const { address } = await tlsServer(tcp, () => undefined, { tls: { ...server, ALPNProtocols: ['a'] } });
    expect(await record(dial(address, { ALPNProtocols: ['b'] })).end()).toMatchObject({ code: 'ERR_TLS' });
  });

  it.each<[string, () => object]>([
    ['nothing', () => ({})],
    ['an empty certificate', () => ({ key: '', cert: '' })],
    ['no certificate in a list', () => ({ key: [], cert: [] })],
    ['a certificate without its key', () => ({ cert: server.cert })],
    ['a key without its certificate', () => ({ key: server.key })],
    ['a key of a different certificate', () => ({ key: stranger.key, cert: server.cert })],
    ['garbage', () => ({ key: 'x', cert: 'y' })],
    ['garbage for pfx', () => ({ pfx: Buffer.from('x') })],
    [
      'a function that throws',
      () => () => {
        throw new Error('no such file');
      },
    ],
    ['a function that returns nothing', () => () => undefined],
    ['something other than an object', () => 'yes' as never],
    ['a list', () => [server]],
    ['null', () => null as never],
  ])('T2: a server with %s is refused at once', (_name, options) => {
    expect(() => listen({ port: 0 }, { tls: options() })).toThrow(refused);
  });

  it.each<[string, object]>([
    ['rejectUnauthorized', { rejectUnauthorized: 'no' }],
    ['rejectUnauthorized', { rejectUnauthorized: 0 }],
    ['rejectUnauthorized', { rejectUnauthorized: null }],
    ['requestCert', { requestCert: 'yes' }],
    ['ca', { ca: 'garbage' }],
    ['ca', { ca: '' }],
    ['ca', { ca: [authority, 'garbage'] }],
    ['tls', { ca: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' }],
    ['ALPNProtocols', { ALPNProtocols: 'chat' }],
    ['ALPNProtocols', { ALPNProtocols: [''] }],
    ['ALPNProtocols', { ALPNProtocols: ['x'.repeat(256)] }],
    ['checkServerIdentity', { checkServerIdentity: true }],
    ['SNICallback', { SNICallback: {} }],
    ['tls', { minVersion: 'TLSv9' }],
    ['tls', { ciphers: 'none of these' }],
  ])('T2: a wrong %s is refused at once, for server and client: %o', (name, options) => {
    const naming = expect.objectContaining({
      code: 'ERR_OPTION_INVALID',
      message: expect.stringContaining(name) as string,
    });
    expect(() => listen({ port: 0 }, { tls: { ...server, ...options } })).toThrow(naming);
    expect(() => connect({ port: 1 }, { tls: options })).toThrow(naming);
  });

  it('T2: a tls:// server without the option `tls` and a client with unusable options are refused at once', () => {
    expect(() => listen('tls://localhost:0')).toThrow(refused);
    const wrong: object[] = [
      { key: 'x', cert: 'y' },
      { key: client.key },
      { cert: client.cert },
      { key: client.key, cert: server.cert },
      { servername: 7 },
      { minDHSize: 0 },
      (): object => ({}),
    ];
    for (const options of wrong) expect(() => connect({ port: 1 }, { tls: options })).toThrow(refused);
  });

  it('T2: `ca` accepts several authorities, in one text or in a list, with other text around the certificates', async () => {
    const { address } = await tlsServer(tcp, ({ data }) => data.subscribe(data));
    for (const ca of [`# ours\n${stranger.cert}\n${authority}`, [stranger.cert, Buffer.from(authority)]]) {
      const { connection } = await clientAt(tcp, address, {
        tls: { ca, ALPNProtocols: undefined, minDHSize: undefined },
      });
      expect(connection.tls?.authorized).toBe(true);
    }
  });
});

describe.each(securePlaces)('the identity of the server, over $name', (place) => {
  /** Dials, with `options`, a server that has `identity`. Returns the code with which the client rejects it, if any. */
  const distrust = async (identity: object, options: object): Promise<string | undefined> => {
    const { address } = await serverAt(place, () => undefined, { tls: identity });
    const dialled = connect(address, { tls: options });
    const error = await new Promise<Error | undefined>((resolve) => {
      const subscription = dialled.subscribe({
        next: ({ status }) => {
          if (status !== 'connected') return;
          resolve(undefined);
          subscription.unsubscribe();
        },
        error: resolve,
      });
    });
    if (error !== undefined) expect(error).toMatchObject({ code: 'ERR_TLS' });
    return (error?.cause as { code?: string } | undefined)?.code;
  };

  it('T1: a client verifies the authority, the dates and the name in a certificate', async () => {
    const trusting = { ca: authority };
    expect(await distrust(server, trusting)).toBeUndefined();
    expect(await distrust(server, {})).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
    expect(await distrust(stranger, trusting)).toBe('DEPTH_ZERO_SELF_SIGNED_CERT');
    expect(await distrust(stranger, { ca: stranger.cert })).toBeUndefined();
    expect(await distrust(expired, trusting)).toBe('CERT_HAS_EXPIRED');
    expect(await distrust(other, { ...trusting, servername: 'localhost' })).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
    expect(await distrust(other, { ...trusting, servername: 'other.test' })).toBeUndefined();
    expect(await distrust(server, { ...trusting, servername: 'other.test' })).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
    expect(await distrust(other, { ...trusting, rejectUnauthorized: false })).toBeUndefined();
    expect(await distrust(server, { ...trusting, rejectUnauthorized: undefined, servername: 'x' })).toBeDefined();
  });

  it('T1: checkServerIdentity replaces the check of the name, and rejects a server by throwing', async () => {
    const names: string[] = [];
    const checkServerIdentity = (name: string): Error | undefined => {
      names.push(name);
      if (name === 'bad.test') throw new Error('not this one');
      return undefined;
    };
    expect(await distrust(other, { ca: authority, checkServerIdentity })).toBeUndefined();
    const { address } = await serverAt(place, () => undefined, { tls: server });
    const bad = connect(address, { tls: { ca: authority, checkServerIdentity, servername: 'bad.test' } });
    expect(await record(bad).end()).toMatchObject({ code: 'ERR_TLS', cause: { message: 'not this one' } });
    expect(names).toEqual([expect.stringMatching(/^(localhost|127\.0\.0\.1|::1)$/), 'bad.test']);
  });

  it('T1: an IP address is verified, but not sent as a server name', async () => {
    const asked: (string | undefined)[] = [];
    const { address } = await serverAt(place, ({ tls: info }) => asked.push(info?.servername));
    const warnings: unknown[] = [];
    const onWarning = (warning: Error): unknown => warnings.push(warning);
    process.on('warning', onWarning);
    onTestFinished(() => void process.off('warning', onWarning));
    const names = ['127.0.0.1', ...(verifiesIPv6 ? ['::1'] : []), 'localhost', 'localhost.', ''];
    for (const servername of names) await clientAt(place, address, { tls: { ca: authority, servername } });
    expect(await record(connect(address, { tls: { ca: authority, servername: '10.0.0.1' } })).end()).toMatchObject({
      code: 'ERR_TLS',
    });
    expect(asked).toEqual(names.map((name) => (name.startsWith('localhost') ? 'localhost' : undefined)));
    expect(warnings).toEqual([]);
  });

  it('T1: an SNICallback that throws or fails ends only its own handshake', async () => {
    const ways: tls.TlsOptions['SNICallback'][] = [
      () => {
        throw new Error('no');
      },
      (_name, done) => {
        done(new Error('no'));
      },
    ];
    let asked = 0;
    const { server: listening, address } = await serverAt(place, () => undefined, {
      tls: {
        ...server,
        SNICallback: (name, done) => ways[asked++]?.(name, done) ?? (asked > 2 ? done(null) : undefined),
      },
    });
    const incidents = record(listening.incidents);
    for (const _ of ways) {
      expect(await record(connect(address, { tls: { ca: authority, servername: 'localhost' } })).end()).toMatchObject({
        code: 'ERR_TLS',
      });
    }
    expect(await incidents.count(2)).toMatchObject([{ code: 'ERR_TLS' }, { code: 'ERR_TLS' }]);
    await clientAt(place, address, { tls: { ca: authority, servername: 'localhost' } });
  });
});
