import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { firstValueFrom, take, toArray } from 'rxjs';
import { type Address, connect, type Connection, listen, type ListenOptions, serve } from 'rxjs-sockets';
import { lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { type Place, realPlaces, tcp } from '../support/places.js';

interface Pair {
  key: Buffer;
  cert: Buffer;
}

let authority: Buffer;
let server: Pair;
let other: Pair;
let client: Pair;
let stranger: Pair;

beforeAll(() => {
  const folder = mkdtempSync(join(tmpdir(), 'rxjs-sockets-'));
  const openssl = (...args: string[]): void => {
    execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
  };
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  openssl('req', '-x509', ...ec, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=authority');
  const issue = (name: string, subject: string, names: string): Pair => {
    openssl(
      'req',
      ...ec,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
      '-subj',
      `/CN=${subject}`,
      '-addext',
      `subjectAltName=${names}`,
    );
    openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      '-CA',
      'ca.pem',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-days',
      '2',
      '-copy_extensions',
      'copyall',
      '-out',
      `${name}.pem`,
    );
    return { key: readFileSync(join(folder, `${name}.key`)), cert: readFileSync(join(folder, `${name}.pem`)) };
  };
  server = issue('server', 'localhost', 'DNS:localhost,IP:127.0.0.1');
  other = issue('other', 'other.test', 'DNS:other.test,IP:127.0.0.1');
  client = issue('client', 'somebody', 'DNS:somebody');
  openssl('req', '-x509', ...ec, '-keyout', 'x.key', '-out', 'x.pem', '-subj', '/CN=stranger');
  stranger = { key: readFileSync(join(folder, 'x.key')), cert: readFileSync(join(folder, 'x.pem')) };
  authority = readFileSync(join(folder, 'ca.pem'));
  rmSync(folder, { recursive: true });
});

/** A TLS server of the library. */
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

const names = { ca: () => authority };

function dial(address: Address, options: object = {}) {
  return connect<string, string>(address, {
    codec: lines(),
    tls: { ca: names.ca(), servername: 'localhost', ...options },
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
  it('C1: echoes to a plain TLS client, and half-close works (C6)', async () => {
    const { address } = await tlsServer(place, ({ data }) => data.subscribe(data));
    const raw = rawTls(address);
    raw.end('a\nb\n');
    let got = '';
    for await (const chunk of raw) got += String(chunk);
    expect(got).toBe('a\nb\n');
  });

  it('C1: carries both ways between two ends of the library, and tells who the peer is', async () => {
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

  it('C11: a large reply under pipelined input arrives whole', async () => {
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

  it('S4: garbage, silence and a plain client end alone, told as incidents', async () => {
    const { address, incidents, listening } = await tlsServer(place, ({ data }) => data.subscribe(data), {
      handshakeTimeout: 200,
    });
    const told = firstValueFrom(listening.incidents.pipe(take(2), toArray()));
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
    await told;
    expect(incidents.sort()).toEqual(['ERR_TIMEOUT_HANDSHAKE', 'ERR_TLS']);
    const raw = rawTls(address);
    raw.end('still there\n');
    let got = '';
    for await (const chunk of raw) got += String(chunk);
    expect(got).toBe('still there\n');
  });

  it('D4: a missing close_notify in mid-frame is ERR_FRAME_TRUNCATED', async () => {
    let accepted: (connection: Connection<Buffer, Uint8Array | string>) => void = () => undefined;
    const connected = new Promise<Connection<Buffer, Uint8Array | string>>((resolve) => {
      accepted = resolve;
    });
    const listening = listen<Buffer, Uint8Array | string>(await place.address(), {
      codec: lengthPrefixed(),
      tls: server,
    });
    const bound = firstValueFrom(listening.listening);
    const subscription = listening.subscribe((connection) => {
      connection.data.subscribe({ error: () => undefined });
      accepted(connection);
    });
    onTestFinished(() => {
      subscription.unsubscribe();
    });
    const address = await bound;
    const plain =
      address.transport === 'tcp'
        ? net.connect(address.port, '127.0.0.1')
        : net.connect(address.transport === 'unix' ? address.path : '');
    plain.on('error', () => undefined);
    const raw = tls.connect({ socket: plain, ca: authority, servername: 'localhost' });
    raw.on('error', () => undefined);
    raw.on('secureConnect', () => {
      raw.write(Buffer.from([0, 0, 0, 9, 65]), () => plain.end());
    });
    const { closed } = await connected;
    expect(await firstValueFrom(closed)).toMatchObject({ reason: 'failed', error: { code: 'ERR_FRAME_TRUNCATED' } });
    raw.destroy();
  });

  it('S2: asks for client certificates, and refuses whoever has none or a wrong one', async () => {
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
      // A TLS 1.3 client is through with its handshake before the server has judged it, and may see no more than an end.
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
    expect(incidents).toHaveLength(2);
  });
});

describe('TLS', () => {
  it('K3: does not connect to a server that it can not verify, whatever the environment says', async () => {
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

  it('A1: a tls:// address speaks TLS, and a server tells one', async () => {
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

  it('S1: serves by the name that the client asks for, and new certificates without a restart', async () => {
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

  it('S6: serve works behind TLS', async () => {
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

  it.each<[string, () => object]>([
    ['a server without a certificate', () => ({})],
    ['a key that does not match', () => ({ key: stranger.key, cert: server.cert })],
    ['garbage', () => ({ key: 'x', cert: 'y' })],
    ['rejectUnauthorized that is no boolean', () => ({ ...server, rejectUnauthorized: 'no' })],
    ['no object', () => 'yes' as never],
  ])('A5: refuses %s at once', (_name, options) => {
    expect(() => listen({ port: 0 }, { tls: options() })).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION_INVALID', message: expect.stringContaining('tls') as string }),
    );
  });

  it('A5: refuses a tls:// server without the option, and bad options of a client', () => {
    expect(() => listen('tls://localhost:0')).toThrow(expect.objectContaining({ code: 'ERR_OPTION_INVALID' }));
    expect(() => connect({ port: 1 }, { tls: { rejectUnauthorized: 0 as never } })).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION_INVALID' }),
    );
    expect(() => connect({ port: 1 }, { tls: { key: 'x', cert: 'y' } })).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION_INVALID' }),
    );
  });
});
