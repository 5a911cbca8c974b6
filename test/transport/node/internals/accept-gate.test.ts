import { existsSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AcceptGate } from '../../../../src/transport/node/internals/accept-gate.js';
import '../../../support/leaks.js';
import { type Peer, peerAt } from '../../../support/sockets/peer.js';
import { settled } from '../../../support/scheduling/event-loop.js';
import { freshFolder, type Place, realPlaces, tcp, unix } from '../../../support/transport/places.js';

/** The internals of Node that the accept gate uses. */
interface Handle {
  open?: ((fd: number) => number) | undefined;
  readStop?: (() => number) | undefined;
  readStart?: (() => number) | undefined;
}
interface Inside {
  _createServerHandle?: ((...args: unknown[]) => Handle | number) | undefined;
}

const inside = net as unknown as Inside;

/** Replaces Node's function that creates the handle of a server, until the end of the test. */
function stub(createHandle: Inside['_createServerHandle']): void {
  const original = inside._createServerHandle;
  inside._createServerHandle = createHandle;
  onTestFinished(() => {
    inside._createServerHandle = original;
  });
}

/** Changes every handle that the gate creates. */
function stubHandles(change: (handle: Handle) => void): void {
  const create = inside._createServerHandle;
  stub((...args) => {
    const handle = create?.(...args) ?? -1;
    if (typeof handle !== 'number') change(handle);
    return handle;
  });
}

/** A server with a gate, and the first text of each client, in the order of acceptance. */
async function gated(place: Place, held: boolean) {
  const served: Promise<string>[] = [];
  const server = net.createServer((socket) => {
    served.push(new Promise((resolve) => socket.once('data', (chunk) => resolve(chunk.toString()))));
    socket.on('error', () => undefined);
    socket.on('end', () => socket.destroy());
    onTestFinished(() => {
      socket.destroy();
    });
  });
  onTestFinished(() => {
    server.close();
  });
  const gate = new AcceptGate(server);
  if (held) gate.hold();
  const where = (await place.address()) as { port: number } | { path: string };
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      gate.opened();
      resolve();
    });
    server.listen({ ...where, ...('port' in where ? { host: '127.0.0.1' } : {}), backlog: 100 });
  });
  const name = server.address() as net.AddressInfo | string;
  const dial = async (text: string): Promise<Peer> => {
    const peer = await peerAt(
      place,
      typeof name === 'string'
        ? { transport: 'unix', path: name }
        : { transport: 'tcp', host: name.address, port: name.port },
    );
    peer.write(text);
    return peer;
  };
  return { server, gate, served, dial, name };
}

describe.each(realPlaces.map((place) => [place.name, place] as const))('the accept gate on %s', (_name, place) => {
  it('S5: the gate pauses and resumes accepting, any number of times', async () => {
    const { gate, served, dial } = await gated(place, false);
    for (let round = 0; round < 3; round++) {
      await dial('open');
      await settled();
      expect(served.length).toBe(round * 4 + 1);
      gate.hold();
      for (const text of ['1', '2', '3']) await dial(text);
      await settled();
      expect(served.length).toBe(round * 4 + 1);
      gate.release();
      await settled();
      expect(await Promise.all(served.slice(round * 4))).toEqual(['open', '1', '2', '3']);
    }
  });

  it('S5: the gate can be held before its server listens', async () => {
    const { gate, served, dial } = await gated(place, true);
    for (const text of ['1', '2', '3']) await dial(text);
    await settled();
    expect(served).toEqual([]);
    gate.release();
    await settled();
    expect(await Promise.all(served)).toEqual(['1', '2', '3']);
  });

  it('S5: the gate ignores a second hold or release', async () => {
    const { gate, served, dial } = await gated(place, false);
    gate.release();
    gate.release();
    gate.hold();
    gate.hold();
    await dial('1');
    await settled();
    expect(served).toEqual([]);
    gate.release();
    gate.release();
    await settled();
    expect(await Promise.all(served)).toEqual(['1']);
  });

  it('S1: if the server closes while the gate is held, the waiting clients are reset and the address is free again', async () => {
    const { server, name, dial } = await gated(place, true);
    const peers = [await dial('1'), await dial('2')];
    server.close();
    expect(await Promise.all(peers.map((peer) => peer.ended))).toEqual(['ECONNRESET', 'ECONNRESET']);
    if (typeof name === 'string') expect(existsSync(name)).toBe(false);
    await expect(dial('3')).rejects.toMatchObject({ code: place === unix ? 'ENOENT' : 'ECONNREFUSED' });
  });

  it('S5: the gate ignores hold and release after the server has closed', async () => {
    const { server, gate } = await gated(place, false);
    server.close();
    gate.hold();
    gate.release();
  });

  it('S3: if an address cannot be bound, a server with a gate emits the error that says why', async () => {
    const { name } = await gated(place, false);
    const other = net.createServer();
    new AcceptGate(other);
    const failed = new Promise((resolve) => other.once('error', resolve));
    if (typeof name === 'string') other.listen(name);
    else other.listen(name.port, name.address);
    expect(await failed).toMatchObject({ code: 'EADDRINUSE' });
    expect(other.listening).toBe(false);
  });

  describe.each<[string, () => void]>([
    ['Node lacks the function that creates handles', () => stub(undefined)],
    ['the handle cannot be opened again', () => stubHandles((handle) => (handle.open = () => -22))],
    ['the handle has no `open`', () => stubHandles((handle) => (handle.open = undefined))],
    ['the handle has no `readStop`', () => stubHandles((handle) => (handle.readStop = undefined))],
    ['the handle has no `readStart`', () => stubHandles((handle) => (handle.readStart = undefined))],
    ['the handle refuses to stop accepting', () => stubHandles((handle) => (handle.readStop = () => -95))],
    ['the handle refuses to start accepting', () => stubHandles((handle) => (handle.readStart = () => -107))],
  ])('if %s', (_why, prepare) => {
    it('S5: clients are accepted although the gate is held, and no client is lost', async () => {
      prepare();
      const { gate, served, dial } = await gated(place, true);
      await dial('1');
      gate.release();
      await dial('2');
      gate.hold();
      gate.hold();
      await dial('3');
      await settled();
      expect(await Promise.all(served)).toEqual(['1', '2', '3']);
    });
  });
});

it('S3: if the folder of the socket path is missing, the accept gate lets Node report the error', async () => {
  const server = net.createServer();
  new AcceptGate(server);
  const failed = new Promise((resolve) => server.once('error', resolve));
  server.listen(join(await freshFolder(), 'missing', 'socket'));
  expect(await failed).toMatchObject({ syscall: 'listen' });
});

it.each<[string, net.ListenOptions]>([
  ['a TCP address (in a turn after the call of listen)', { host: '127.0.0.1', port: 0 }],
  ['an abstract name (within the call of listen)', { path: '\0rxjs-sockets-denied' }],
])('S3: if Node throws while it creates the handle of %s, the accept gate emits the error', async (_what, where) => {
  const denied = Object.assign(new Error('use --allow-net'), { code: 'ERR_ACCESS_DENIED' });
  stub(() => {
    throw denied;
  });
  const server = net.createServer();
  new AcceptGate(server);
  const failed = new Promise((resolve) => server.once('error', resolve));
  server.listen(where);
  expect(await failed).toBe(denied);
  expect(server.listening).toBe(false);
});

it('S3: if Node throws when the server listens, the accept gate emits the error and closes the handle', async () => {
  const denied = new Error('use --allow-net');
  stubHandles((handle) => {
    Object.assign(handle, {
      listen: () => {
        throw denied;
      },
    });
  });
  const server = net.createServer();
  new AcceptGate(server);
  const failed = new Promise((resolve) => server.once('error', resolve));
  server.listen(0, '127.0.0.1');
  expect(await failed).toBe(denied);
  expect(server.listening).toBe(false);
});

it('S5: the accept gate works if the host is given by name', async () => {
  const server = net.createServer((socket) => socket.end());
  const gate = new AcceptGate(server);
  gate.hold();
  server.listen(0, 'localhost');
  await new Promise((resolve) => server.once('listening', resolve));
  gate.opened();
  const { port, address } = server.address() as net.AddressInfo;
  const peer = await peerAt(tcp, { transport: 'tcp', host: address, port });
  let ended = false;
  void peer.ended.then(() => (ended = true));
  await settled();
  expect(ended).toBe(false);
  gate.release();
  expect(await peer.ended).toBe('fin');
  peer.end();
  server.close();
});

it('S5: the accept gate does not change a handle that was passed to the server, as in node:cluster', async () => {
  const server = net.createServer();
  const gate = new AcceptGate(server);
  const worker = server as unknown as { _handle: unknown; _listen2(...args: unknown[]): void };
  const given = inside._createServerHandle?.('127.0.0.1', 0, 4, undefined, 0);
  worker._handle = given;
  worker._listen2('127.0.0.1', 0, 4, 10, undefined, 0);
  expect(worker._handle).toBe(given);
  await new Promise((resolve) => server.once('listening', resolve));
  gate.opened();
  server.close();
});
