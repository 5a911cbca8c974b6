import { once } from 'node:events';
import net from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import tls from 'node:tls';
import { firstValueFrom, Subject } from 'rxjs';
import { type Address, type Connection, listen, type ListenOptions, type Server, type SocketError } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { someAddresses, triple, type Version2, version2 } from '../support/proxy-protocol/arbitrary-header.js';
import * as certificates from '../support/transport/node/tls/certificates.js';
import { hasIPv6 } from '../support/proxy-protocol/haproxy.js';
import '../support/leaks.js';
import { type Place, tcp, unix } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { readAll } from '../support/sockets/read-socket.js';
import { refusal } from '../support/errors/refusal.js';
import { turns } from '../support/scheduling/event-loop.js';

const nothing = Buffer.alloc(0);
const line = (text: string): Buffer => Buffer.from(text, 'latin1');
const good = line('PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n');
const goodRemote: Address = { transport: 'tcp', host: '192.0.2.7', port: 50_000 };
const trustsAll = { proxyProtocol: { trusted: ['0.0.0.0/0', '::/0', 'unix'] } };
const secret = { tls: certificates.server };

/** A server behind a proxy. */
interface Front {
  readonly address: Address;
  readonly server: Server<string, string>;
  readonly connections: readonly Connection<string, string>[];
  readonly connection: Promise<Connection<string, string>>;
  readonly incident: Promise<SocketError>;
}

async function front(place: Place, options: ListenOptions<string, string> = {}): Promise<Front> {
  const connections: Connection<string, string>[] = [];
  const emitted = new Subject<Connection<string, string>>();
  const { server, address } = await serverAt<string, string>(
    place,
    (connection) => {
      connections.push(connection);
      connection.data.subscribe({
        next: (text) => connection.data.next(text.toUpperCase()),
        complete: () => connection.data.complete(),
        error: () => undefined,
      });
      emitted.next(connection);
    },
    { codec: lines(), ...trustsAll, ...options },
  );
  return {
    // The proxy connects without TLS, because its header comes before the handshake.
    address: address.transport === 'tcp' ? { transport: 'tcp', host: address.host, port: address.port } : address,
    server,
    connections,
    get connection() {
      return firstValueFrom(emitted);
    },
    get incident() {
      return firstValueFrom(server.incidents);
    },
  };
}

/** The address of `raw`, as a server without `proxyProtocol` sees it. */
function nameOf(raw: net.Socket): Address {
  const { localAddress: host, localPort: port } = raw;
  return host === undefined || port === undefined ? { transport: 'unix', path: '' } : { transport: 'tcp', host, port };
}

/** Sends `chunks`, each in its own turn, then a line as the client behind the proxy. Returns the answer. */
async function answerTo(raw: net.Socket, chunks: readonly Uint8Array[], isSecret: boolean): Promise<string> {
  for (const [index, chunk] of chunks.entries()) {
    if (index > 0) await nextTurn();
    raw.write(chunk);
  }
  // The next bytes follow the last chunk in the same turn.
  const socket = isSecret ? tls.connect({ socket: raw, ca: certificates.authority, servername: 'localhost' }) : raw;
  socket.write('hello\n');
  let text = '';
  socket.setEncoding('latin1');
  socket.on('data', (more: string) => {
    text += more;
    if (text.endsWith('\n')) socket.end();
  });
  await once(socket, 'end');
  return text;
}

/** Resolves once the peer has dropped `raw`. */
async function dropped(raw: net.Socket): Promise<void> {
  raw.on('end', () => raw.destroy());
  raw.resume();
  await new Promise<void>((resolve) => {
    if (raw.closed) resolve();
    else raw.once('close', () => resolve());
  });
}

const unixPair = (path: string): Buffer => Buffer.concat([Buffer.from(path), Buffer.alloc(216)]).subarray(0, 216);
const ipV6Pair = Buffer.from(`20010db8${'00'.repeat(11)}07${'00'.repeat(15)}01c35001bb`, 'hex');
const mappedPair = Buffer.from(`${'00'.repeat(10)}ffffc0000207${'00'.repeat(10)}ffffc6336401c35001bb`, 'hex');

/** Valid headers, and the client that each header names, or `undefined` if the real address applies. */
const valid: readonly [string, Buffer, Address | undefined][] = [
  ['TCP4', good, goodRemote],
  ['TCP6', line('PROXY TCP6 2001:db8::7 ::1 50000 443\r\n'), { transport: 'tcp', host: '2001:db8::7', port: 50_000 }],
  ['UNKNOWN', line('PROXY UNKNOWN\r\n'), undefined],
  ['UNKNOWN, 107 bytes', line(`PROXY UNKNOWN ${'x'.repeat(91)}\r\n`), undefined],
  ['v2: TCP over IPv4', version2(), goodRemote],
  [
    'v2: TCP over IPv6',
    version2({ kind: 0x21, addresses: ipV6Pair }),
    { transport: 'tcp', host: '2001:db8::7', port: 50_000 },
  ],
  ['v2: IPv4-mapped', version2({ kind: 0x21, addresses: mappedPair }), goodRemote],
  ['v2: unix', version2({ kind: 0x31, addresses: unixPair('/run/app') }), { transport: 'unix', path: '/run/app' }],
  ['v2: unix, unnamed', version2({ kind: 0x31, addresses: unixPair('') }), { transport: 'unix', path: '' }],
  ['v2: datagrams', version2({ kind: 0x12 }), undefined],
  ['v2: no family', version2({ kind: 0, addresses: nothing }), undefined],
  ['v2: LOCAL', version2({ command: 0x20, kind: 0, addresses: nothing }), undefined],
  ['v2: LOCAL with addresses and a checksum', version2({ command: 0x20, checksum: true }), undefined],
  [
    'v2: triples and a checksum',
    version2({ triples: [triple(5, line('id')), triple(0xee, nothing)], checksum: true }),
    goodRemote,
  ],
  ['v2: 4,096 bytes', version2({ triples: [triple(4, Buffer.alloc(4_096 - 16 - 12 - 3))] }), goodRemote],
];

describe.each([tcp, unix])('a server behind a proxy over $name', (place) => {
  for (const isSecret of [false, true]) {
    const options = isSecret ? secret : {};
    describe(isSecret ? 'with TLS behind it' : 'without TLS', () => {
      it.each(valid)('S2: remote is the client that the header names: %s', async (_, header, remote) => {
        const { address, connections } = await front(place, options);
        const raw = await rawClient(address);
        const real = nameOf(raw);
        expect(await answerTo(raw, [header], isSecret)).toBe('HELLO\n');
        expect(connections.map((connection) => connection.remote)).toStrictEqual([remote ?? real]);
      });

      it.each([good, version2({ checksum: true })])(
        'P5: loses no byte after a header that arrives byte by byte, %#',
        async (header) => {
          const { address, connections } = await front(place, options);
          const raw = await rawClient(address);
          raw.setNoDelay();
          const slices = Array.from(header, (byte) => Buffer.of(byte));
          expect(await answerTo(raw, slices, isSecret)).toBe('HELLO\n');
          expect(connections.map(({ remote }) => remote)).toStrictEqual([goodRemote]);
        },
      );

      it('P1: drops and reports a client that sends no header in time', async () => {
        const { address, connections, incident } = await front(place, { ...options, handshakeTimeout: 50 });
        const raw = await rawClient(address);
        const real = nameOf(raw);
        await dropped(raw);
        expect(await incident).toMatchObject({ code: 'ERR_TIMEOUT_HANDSHAKE', address: real });
        expect(connections).toEqual([]);
      });
    });
  }

  it.each([1, 20_000])('P5: serves a header, %i lines and the FIN completely if all arrive together', async (count) => {
    const { address, connections } = await front(place);
    const raw = await rawClient(address);
    const sent = 'hello\n'.repeat(count);
    raw.end(Buffer.concat([version2({ checksum: true }), Buffer.from(sent)]));
    expect(String(await readAll(raw))).toBe(sent.toUpperCase());
    expect(connections.map(({ remote }) => remote)).toStrictEqual([goodRemote]);
  });

  it('P5: reports a late handshake with the address that the header names', async () => {
    const { address, connections, incident } = await front(place, { ...secret, handshakeTimeout: 50 });
    const raw = await rawClient(address);
    raw.write(good);
    await dropped(raw);
    expect(await incident).toMatchObject({ code: 'ERR_TIMEOUT_HANDSHAKE', address: goodRemote });
    expect(connections).toEqual([]);
  });

  it('P5: reports garbage after the header as ERR_TLS', async () => {
    const { address, connections, incident } = await front(place, secret);
    const raw = await rawClient(address);
    raw.write(Buffer.concat([good, line('GET / HTTP/1.1\r\n\r\n')]));
    await dropped(raw);
    expect(await incident).toMatchObject({ code: 'ERR_TLS', address: goodRemote });
    expect(connections).toEqual([]);
  });

  const faults: readonly [string, Buffer][] = [
    ['no CRLF in 107 bytes', line(`PROXY UNKNOWN ${'x'.repeat(93)}`)],
    ['a CRLF after 108 bytes', line(`PROXY UNKNOWN ${'x'.repeat(92)}\r\n`)],
    ['a lone LF', line('PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\n')],
    ['a lone CR', line('PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\rhello')],
    ['a leading zero in an address', line('PROXY TCP4 192.0.02.7 198.51.100.1 50000 443\r\n')],
    ['a leading zero in a port', line('PROXY TCP4 192.0.2.7 198.51.100.1 050000 443\r\n')],
    ['port 65536', line('PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n')],
    ['destination port 65536', line('PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n')],
    ['IPv6 in TCP4', line('PROXY TCP4 2001:db8::7 ::1 50000 443\r\n')],
    ['IPv4 in TCP6', line('PROXY TCP6 192.0.2.7 198.51.100.1 50000 443\r\n')],
    ['another family', line('PROXY UDP4 192.0.2.7 198.51.100.1 50000 443\r\n')],
    ['no ports', line('PROXY TCP4 192.0.2.7 198.51.100.1\r\n')],
    ['lower case', line('proxy tcp4 192.0.2.7 198.51.100.1 50000 443\r\n')],
    ['v2: version field 1', version2({ command: 0x11 })],
    ['v2: version field 3', version2({ command: 0x31 })],
    ['v2: command 2', version2({ command: 0x22 })],
    ['v2: family 4', version2({ kind: 0x41 })],
    ['v2: protocol 3', version2({ kind: 0x13 })],
    ['v2: too short for IPv4', version2({ addresses: someAddresses.subarray(1) })],
    ['v2: too short for IPv6', version2({ kind: 0x21 })],
    ['v2: too short for unix', version2({ kind: 0x31, addresses: Buffer.alloc(215) })],
    ['v2: no end in the unix path', version2({ kind: 0x31, addresses: Buffer.alloc(216, 'x') })],
    ['v2: a triple beyond the end', version2({ triples: [triple(2, line('host'), 5)] })],
    ['v2: half a triple', version2({ triples: [Buffer.of(4, 0)] })],
    ['v2: a bad checksum', version2({ triples: [triple(3, Buffer.alloc(4))] })],
    ['v2: a wrong signature', line('\r\n\r\n\0\r\nQUIT\r')],
    ['v2: 4,097 bytes', version2({ length: 4_081, addresses: nothing })],
    ['v2: 65,551 bytes', version2({ length: 65_535, addresses: nothing })],
    ['HTTP', line('GET / HTTP/1.1\r\n\r\n')],
    ['TLS', Buffer.of(0x16, 3, 1, 2, 0)],
    ['a line', line('hello\n')],
    ['a NUL', Buffer.of(0)],
  ];

  // No client ends its stream. The server refuses each header without waiting for more bytes.
  it.each(faults)('P1: drops and reports a bad header, and continues: %s', async (_, bytes) => {
    const { address, connections, incident } = await front(place);
    const raw = await rawClient(address);
    const real = nameOf(raw);
    raw.write(bytes);
    await dropped(raw);
    expect(await incident).toMatchObject({ code: 'ERR_PROXY_HEADER', address: real });
    expect(connections).toEqual([]);
    expect(await answerTo(await rawClient(address), [good], false)).toBe('HELLO\n');
    expect(connections.map(({ remote }) => remote)).toStrictEqual([goodRemote]);
  });

  it.each<[string, Buffer]>([
    ['no byte has arrived', nothing],
    ['half a line', good.subarray(0, 20)],
    ['all but the LF', good.subarray(0, -1)],
    ['half a signature', version2().subarray(0, 6)],
    ['all but one byte of version 2', version2().subarray(0, -1)],
    ['fewer bytes than the header announces', version2({ length: 4_080 })],
  ])('P1: reports a stream that ends inside the header: %s', async (_, bytes) => {
    const { address, connections, incident } = await front(place);
    const raw = await rawClient(address);
    raw.end(bytes);
    await dropped(raw);
    expect(await incident).toMatchObject({ code: 'ERR_PROXY_HEADER' });
    expect(connections).toEqual([]);
  });

  it('P1: is not affected by a client that disconnects before its header is complete', async () => {
    const { address, connections, incident } = await front(place);
    const raw = await rawClient(address);
    raw.write(good.subarray(0, 20));
    await turns();
    if (place.name === 'tcp') raw.resetAndDestroy();
    else raw.destroy();
    expect(await incident).toMatchObject({ code: 'ERR_PROXY_HEADER' });
    expect(connections).toEqual([]);
    expect(await answerTo(await rawClient(address), [good], false)).toBe('HELLO\n');
  });

  it('P1: emits nothing before the header is complete', async () => {
    const { address, connections, connection } = await front(place);
    const raw = await rawClient(address);
    raw.write(good.subarray(0, -1));
    await turns();
    expect(connections).toEqual([]);
    raw.write(good.subarray(-1));
    expect((await connection).remote).toStrictEqual(goodRemote);
  });

  it('P1: treats a second header as data of the connection', async () => {
    const { address, connections } = await front(place);
    const raw = await rawClient(address);
    expect(await answerTo(raw, [Buffer.concat([good, good])], false)).toMatch(/^PROXY TCP4 192.0.2.7/);
    expect(connections).toHaveLength(1);
  });

  it('P1: drops a client whose header never ends, even if bytes keep coming', async () => {
    const { address, incident } = await front(place, { handshakeTimeout: 100 });
    const raw = await rawClient(address);
    const reported = incident;
    let over = false;
    void dropped(raw).then(() => {
      over = true;
    });
    raw.write(version2({ length: 4_080, addresses: nothing }));
    for (let sent = 0; !over; sent++) {
      if (sent < 4_000) raw.write(Buffer.of(0));
      await nextTurn();
    }
    expect(await reported).toMatchObject({ code: 'ERR_TIMEOUT_HANDSHAKE' });
  });

  it.each([[[]], [['192.0.2.0/24', '2001:db8::/32']]])(
    'P2: drops an untrusted peer at once, whatever it sends: %j',
    async (trusted) => {
      const { address, connections, server } = await front(place, { proxyProtocol: { trusted } });
      const reported: SocketError[] = [];
      server.incidents.subscribe((error) => reported.push(error));
      for (const bytes of [good, version2({ command: 0x20 }), line('hello\n'), nothing]) {
        const raw = await rawClient(address);
        raw.write(bytes);
        await dropped(raw);
      }
      await expect.poll(() => reported.map(({ code }) => code)).toEqual(Array(4).fill('ERR_PROXY_HEADER'));
      expect(connections).toEqual([]);
    },
  );

  it('P5: drops and reports a client whose handshake would exceed maxConnections', async () => {
    const { address, connections, connection, incident } = await front(place, { maxConnections: 2 });
    const [first] = await Promise.all([rawClient(address), rawClient(address)]);
    const reported = incident;
    await dropped(await rawClient(address));
    expect(await reported).toMatchObject({ code: 'ERR_LIMIT_CONNECTIONS' });
    const next = connection;
    first.write(good);
    expect((await next).remote).toStrictEqual(goodRemote);
    expect(connections).toHaveLength(1);
  });

  it('S1: drops clients with an incomplete header when the last subscriber leaves, but reports none', async () => {
    const server = listen(await place.address(), { ...trustsAll, handshakeTimeout: 0 });
    const reported: SocketError[] = [];
    server.incidents.subscribe((error) => reported.push(error));
    const bound = firstValueFrom(server.listening);
    const subscription = server.subscribe();
    onTestFinished(() => subscription.unsubscribe());
    const raw = await rawClient(await bound);
    raw.write(good.subarray(0, 10));
    await turns();
    subscription.unsubscribe();
    await dropped(raw);
    expect(reported).toEqual([]);
  });
});

describe('the trusted list of proxyProtocol', () => {
  const dual = async (trusted: string[]): Promise<Front> => {
    const place = { ...tcp, address: () => Promise.resolve({ host: '::', port: 0 }) };
    return front(place, { proxyProtocol: { trusted } });
  };

  it.skipIf(!hasIPv6)('P2: an IPv4 peer of an IPv6 socket counts as IPv4', async () => {
    const { address, connections, incident } = await dual(['127.0.0.0/8']);
    const { port } = address as { port: number };
    const at = (host: string): Address => ({ transport: 'tcp', host, port });
    expect(await answerTo(await rawClient(at('127.0.0.1')), [good], false)).toBe('HELLO\n');
    expect(connections.map(({ remote }) => remote)).toStrictEqual([goodRemote]);
    const reported = incident;
    await dropped(await rawClient(at('::1')));
    expect(await reported).toMatchObject({ code: 'ERR_PROXY_HEADER' });
  });

  it.skipIf(!hasIPv6)('P2: ::/0 trusts no IPv4 peer', async () => {
    const { address, incident } = await dual(['::/0']);
    const { port } = address as { port: number };
    expect(await answerTo(await rawClient({ transport: 'tcp', host: '::1', port }), [good], false)).toBe('HELLO\n');
    const reported = incident;
    await dropped(await rawClient({ transport: 'tcp', host: '127.0.0.1', port }));
    expect(await reported).toMatchObject({ code: 'ERR_PROXY_HEADER', address: { host: '127.0.0.1' } });
  });

  it.each<[unknown, string]>([
    ['localhost', '"localhost"'],
    ['10.0.0.0/33', '"10.0.0.0/33"'],
    ['::/129', '"::/129"'],
    ['10.0.0.0/', '"10.0.0.0/"'],
    ['10.0.0.01', '"10.0.0.01"'],
    ['fe80::1%eth0', '"fe80::1%eth0"'],
    ['', '""'],
    [7, '7'],
    [null, 'null'],
  ])('P2: a bad entry is refused at once, and the error shows it: %j', (entry, shown) => {
    const error = refusal(() => listen({ port: 0 }, { proxyProtocol: { trusted: ['127.0.0.1', entry as string] } }));
    expect(error.code).toBe('ERR_OPTION_INVALID');
    expect(error.message).toContain('proxyProtocol.trusted');
    expect(error.message).toContain(shown);
  });

  it.each([{}, { trusted: undefined }, { trusted: '127.0.0.1' }, { trusted: [], version: 2 }, [], null, true])(
    'A5: a bad proxyProtocol is refused at once: %j',
    (proxyProtocol) => {
      const error = refusal(() => listen({ port: 0 }, { proxyProtocol: proxyProtocol as { trusted: string[] } }));
      expect(error.code).toBe('ERR_OPTION_INVALID');
      expect(error.message).toContain('proxyProtocol');
    },
  );

  it('P2: is copied, so a later change of the list has no effect', async () => {
    const trusted = ['127.0.0.1'];
    const server = listen({ port: 0 }, { proxyProtocol: { trusted } });
    trusted[0] = 'nonsense';
    const bound = firstValueFrom(server.listening);
    const emitted = firstValueFrom(server);
    const raw = await rawClient(await bound);
    raw.write(good);
    const connection = await emitted;
    onTestFinished(() => connection.destroy());
    expect(connection.remote).toStrictEqual(goodRemote);
  });
});

it.each<[string, Version2]>([
  ['that is too long', { addresses: nothing, length: 65_535 }],
  ['that is allowed', { addresses: nothing, length: 4_080 }],
])('P4: nothing is allocated for the length in a PROXY header, even for a length %s', async (_, parts) => {
  const { address, server } = await front(tcp, { maxConnections: 1_000 });
  const reported: SocketError[] = [];
  server.incidents.subscribe((error) => reported.push(error));
  const header = version2(parts);
  const sockets = await Promise.all(Array.from({ length: 300 }, () => rawClient(address)));
  await turns();
  globalThis.gc?.();
  const before = process.memoryUsage().arrayBuffers;
  for (const socket of sockets) socket.write(header);
  if (header.readUInt16BE(14) > 4_080) await expect.poll(() => reported.length).toBe(300);
  else await turns(2_000);
  globalThis.gc?.();
  // All headers together announce 19 MB or 1.2 MB. A kept chunk of 16 bytes takes only 16 bytes of memory.
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000);
});
