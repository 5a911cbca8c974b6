import { once } from 'node:events';
import type net from 'node:net';
import { lengthPrefixed } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { nodeTransport } from '../../../../src/transport/node/node-transport.js';
import type {
  DialOptions,
  BorrowingSocketEvents,
  ListenerOptions,
  TransportSocket,
} from '../../../../src/transport/transport.js';
import { parseAddress } from '../../../../src/address-parsing/parse-address.js';
import '../../../support/leaks.js';
import { type Place, realPlaces } from '../../../support/transport/places.js';
import { rawClient, rawServer } from '../../../support/sockets/plain-sockets.js';
import { readBytes } from '../../../support/sockets/read-socket.js';
import { record } from '../../../support/recording/record.js';
import {
  asClient,
  asServer,
  beginAsClient,
  beginAsServer,
  secured,
  sides,
} from '../../../support/connection/start-tls.js';
import { until } from '../../../support/scheduling/event-loop.js';

const dialOptions: DialOptions = {
  localAddress: undefined,
  localPort: 0,
  family: undefined,
  tls: undefined,
  noDelay: true,
  keepAlive: 0,
};

/** A socket of the transport, the events of this socket, and the plain socket of the peer. */
interface Opened {
  readonly socket: TransportSocket;
  readonly log: string[];
  readonly raw: net.Socket;
}

/** Opens a socket. If `keeps` is given, the socket reads into the library's memory. */
function open(socket: TransportSocket, raw: net.Socket, keeps?: boolean): Opened {
  const log: string[] = [];
  const events: BorrowingSocketEvents = {
    ...(keeps === undefined ? {} : { keeps }),
    onData: (chunk) => log.push(String(chunk)),
    onEnd: (cutOff) => log.push(cutOff?.error.code ?? 'finished'),
    onDrain: () => log.push('taken'),
    onClose: (error) => log.push(error?.code ?? 'gone'),
  };
  socket.open(events);
  onTestFinished(() => socket.reset());
  return { socket, log, raw };
}

async function dialled(place: Place, keeps?: boolean): Promise<Opened> {
  let accept: (raw: net.Socket) => void = () => undefined;
  const accepted = new Promise<net.Socket>((resolve) => {
    accept = resolve;
  });
  const address = await rawServer(place, (raw) => accept(raw));
  const socket = await new Promise<TransportSocket>((connected, failed) => {
    nodeTransport().connect(address, dialOptions, { onConnect: connected, onError: failed });
  });
  return open(socket, await accepted, keeps);
}

async function accepted(place: Place, transport = nodeTransport()): Promise<Opened> {
  const options: ListenerOptions = {
    backlog: 1,
    mode: 0o600,
    stale: 'replace',
    reusePort: false,
    tls: undefined,
    proxyProtocol: undefined,
    handshakeTimeout: 0,
    maxConnections: 1,
    noDelay: true,
    keepAlive: 0,
  };
  const where = parseAddress(await place.address());
  const arrival = await new Promise<{ socket: TransportSocket; raw: net.Socket }>((resolve, failed) => {
    const raw = new Promise<net.Socket>((found) => {
      const listener = transport.listen(where, options, {
        onListening: (address) => void rawClient(address).then(found),
        onConnection: (socket) => void raw.then((client) => resolve({ socket, raw: client })),
        onError: failed,
        onIncident: failed,
      });
      onTestFinished(() => listener.close());
    });
  });
  return open(arrival.socket, arrival.raw);
}

describe.each(realPlaces)('TLS on an open socket, over $name', (place) => {
  it('T10: startTls fails if Node has read bytes that Node has not delivered, even bytes of a handshake', async () => {
    // A paused handle leaves the bytes in the kernel, from where TLS reads them.
    const { socket, log, raw } = await accepted(place, nodeTransport({ internals: false }));
    socket.pause();
    const peer = beginAsClient(raw);
    await until(() => (socket as unknown as { raw: net.Socket }).raw.readableLength > 0);
    const start = socket.startTls?.(asServer);
    start?.(() => log.push('secured'));
    await until(() => log.includes('ERR_TLS'));
    expect(log).not.toContain('secured');
    expect(socket.tls).toBeUndefined();
    peer.destroy();
  });

  it.each([undefined, false, true])('T10: with keeps: %s, a handshake leaves a paused socket paused', async (keeps) => {
    for (const when of ['before', 'in the middle']) {
      const { socket, log, raw } = await dialled(place, keeps);
      const start = socket.startTls?.(asClient);
      socket.write('clear', 'latin1');
      expect(String(await readBytes(raw, 5))).toBe('clear');
      if (when === 'before') socket.pause();
      start?.(() => log.push('secured'));
      if (when === 'in the middle') {
        await new Promise(setImmediate);
        socket.pause();
        socket.resume();
        socket.pause();
      }
      await secured(
        beginAsServer(raw).on('secure', function (this: net.Socket) {
          this.write('x'.repeat(500_000));
        }),
      );
      await until(() => log.includes('secured'));
      expect(socket.tls).toMatchObject({ protocol: 'TLSv1.3', authorized: true });
      for (let turn = 0; turn < 9; turn++) await new Promise(setImmediate);
      expect(log).toEqual(['secured']);
      socket.resume();
      await until(() => log.slice(1).join('').length === 500_000);
    }
  });

  it('T10: a socket that was reset can no longer start TLS', async () => {
    const { socket, log } = await dialled(place);
    const start = socket.startTls?.(asClient);
    socket.reset();
    start?.(() => log.push('secured'));
    await until(() => log.length > 0);
    start?.(() => log.push('secured'));
    await new Promise(setImmediate);
    expect(log).toEqual(['gone']);
  });
});

describe.each(sides)("TLS on a socket that reads into the library's memory, $name", (side) => {
  it('T10: TLS works, whether the last plain-text bytes were read into a block or into a frame', async () => {
    const header = Buffer.alloc(4);
    header.writeUInt32BE(1_000_000);
    // Chunks that a subscriber keeps are in separate blocks. The rest of a large frame is read directly into the frame.
    const chunks = await side.pair();
    const kept = record(chunks.near.data);
    chunks.raw.write(Buffer.alloc(3_000_000, 'k'));
    await until(() => chunks.near.stats.bytesRead === 3_000_000);
    const frames = await side.pair({ codec: lengthPrefixed() });
    const taken = record(frames.near.data);
    frames.raw.write(Buffer.concat([header, Buffer.alloc(1_000_000, 'f')]));
    await taken.count(1);
    for (const { near, raw } of [chunks, frames]) {
      const started = near.startTls(side.options);
      const peer = side.begin(raw);
      await Promise.all([started, secured(peer)]);
      globalThis.gc?.();
      const { bytesRead } = near.stats;
      peer.write(Buffer.concat([header, Buffer.alloc(1_000_000, 't')]));
      await until(() => near.stats.bytesRead === bytesRead + 1_000_004);
      near.data.next('!');
      await once(peer, 'data');
      near.destroy();
    }
    const whole = [Buffer.alloc(3_000_000, 'k'), header, Buffer.alloc(1_000_000, 't')];
    expect(Buffer.concat(kept.values).equals(Buffer.concat(whole))).toBe(true);
    expect(taken.values.map(String)).toEqual(['f'.repeat(1_000_000), 't'.repeat(1_000_000)]);
  });
});
