import net from 'node:net';
import fc from 'fast-check';
import { connect } from 'rxjs-sockets';
import { toNodeStream } from 'rxjs-sockets/interop';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { type Place, realPlaces } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { rawClient, rawServer, rawSocket } from '../support/sockets/plain-sockets.js';
import { until } from '../support/scheduling/event-loop.js';

/** An action of either end. A number means that the end writes this many bytes. */
type Act = number | 'end' | 'pause' | 'resume' | 'cork' | 'uncork' | 'destroySoon' | 'destroy' | 'fail' | 'reset';

interface Step {
  readonly at: 'near' | 'far';
  readonly act: Act;
}

interface Pair {
  readonly near: net.Socket;
  readonly far: net.Socket;
}

/** Makes a pair whose near end is a `net.Socket`, or, if `isStandIn` is true, a stream of this library. */
type Maker = (place: Place, isStandIn: boolean) => Promise<Pair>;

const dialled: Maker = async (place, isStandIn) => {
  let accepted: (socket: net.Socket) => void = () => undefined;
  const far = new Promise<net.Socket>((resolve) => {
    accepted = resolve;
  });
  const address = await rawServer(place, (socket) => accepted(socket));
  const near = isStandIn
    ? (toNodeStream(connect(address, place.options)) as unknown as net.Socket)
    : rawSocket(address, true);
  return { near, far: await far };
};

const accepted: Maker = async (place, isStandIn) => {
  let accept: (socket: net.Socket) => void = () => undefined;
  const near = new Promise<net.Socket>((resolve) => {
    accept = resolve;
  });
  const address = isStandIn
    ? (await serverAt(place, (connection) => accept(toNodeStream(connection) as unknown as net.Socket))).address
    : await rawServer(place, (socket) => accept(socket));
  const far = await rawClient(address);
  return { near: await near, far };
};

class Watched {
  readonly socket: net.Socket;
  readonly events: string[] = [];
  received = 0;
  sent = 0;
  paused = false;
  corked = 0;
  ended = false;
  gone = false;

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => (this.received += chunk.length));
    for (const event of ['end', 'finish', 'drain']) socket.on(event, () => this.events.push(event));
    socket.on('error', (error: NodeJS.ErrnoException) => this.events.push(`error ${error.code ?? error.message}`));
    socket.on('close', (hadError: boolean) => {
      this.gone = true;
      this.events.push(`close ${hadError}`);
    });
  }

  has(event: string): boolean {
    return this.events.includes(event);
  }
}

/** Performs the steps, waits for the effect of each step, and returns the state of the near end after each step. */
async function story({ near: nearSocket, far: farSocket }: Pair, steps: readonly Step[]): Promise<unknown> {
  const near = new Watched(nearSocket);
  const far = new Watched(farSocket);
  if (nearSocket.connecting) await new Promise((resolve) => nearSocket.once('connect', resolve));
  const looks: unknown[] = [];
  const isOver = (): boolean => near.gone || far.gone;
  for (const step of steps) {
    const { at, act } = step;
    if (isOver()) break;
    const [one, other] = at === 'near' ? [near, far] : [far, near];
    if (isPointless(step, near, far)) continue;
    const result = take(one, act);
    await effect(one, other, act);
    const { socket } = near;
    looks.push({
      act,
      result,
      states: [
        socket.readable,
        socket.writable,
        socket.readyState,
        socket.destroyed,
        socket.pending,
        socket.connecting,
      ],
      ends: [socket.readableEnded, socket.writableEnded, socket.writableFinished, socket.closed],
      bytes: [socket.bytesWritten, socket.writableLength, socket.writableNeedDrain, near.received],
      ...(near.paused ? {} : { read: socket.bytesRead }),
    });
  }
  // Ends everything that is still open.
  for (const [one, other] of [
    [near, far],
    [far, near],
  ] as const) {
    other.socket.resume();
    one.socket.end();
    await until(() => one.gone || other.gone || (one.has('finish') && other.has('end')));
  }
  await until(() => near.gone && far.gone);
  return { looks, events: near.events, received: near.received };
}

/** Whether a step has no visible effect, or an effect that differs on purpose between the socket and the stream. */
function isPointless({ at, act }: Step, near: Watched, far: Watched): boolean {
  if (act === 'reset' && at === 'far') {
    // After the far end's FIN, the near end reads no more. A reset right after unread bytes can look like a clean end.
    return far.ended || near.received < far.sent;
  }
  // The socket and the stream treat queued data differently (I3).
  return near.corked > 0 && (act === 'destroy' || act === 'fail' || act === 'reset');
}

function take(one: Watched, act: Act): unknown {
  const { socket } = one;
  if (typeof act === 'number') {
    if (one.ended) return undefined;
    one.sent += act;
    return socket.write(Buffer.alloc(act, 'x'));
  }
  switch (act) {
    case 'end':
      one.ended = true;
      one.corked = 0;
      socket.end();
      return undefined;
    case 'pause':
      one.paused = true;
      socket.pause();
      return undefined;
    case 'resume':
      one.paused = false;
      socket.resume();
      return undefined;
    case 'cork':
      one.corked++;
      socket.cork();
      return undefined;
    case 'uncork':
      one.corked = Math.max(0, one.corked - 1);
      socket.uncork();
      return undefined;
    case 'destroySoon':
      one.ended = true;
      socket.destroySoon();
      return undefined;
    case 'destroy':
      socket.destroy();
      return undefined;
    case 'fail':
      socket.destroy(new Error('mine'));
      return undefined;
    case 'reset':
      socket.resetAndDestroy();
      return undefined;
  }
}

/** Waits until the action `act` of the end `one` has had its effect on both ends. */
async function effect(one: Watched, other: Watched, act: Act): Promise<void> {
  if (act === 'destroy' || act === 'fail' || act === 'reset' || act === 'destroySoon') {
    await until(() => one.gone);
    other.socket.resume();
    await until(() => other.gone || other.has('end'));
    other.socket.destroy();
    await until(() => other.gone);
    return;
  }
  for (const [end, peer] of [
    [one, other],
    [other, one],
  ] as const) {
    await until(() => end.corked > 0 || end.socket.writableLength === 0);
    await until(() => end.corked > 0 || peer.gone || has(peer, end.sent));
    if (end.ended) await until(() => end.has('finish') && (peer.received < end.sent || peer.has('end')));
  }
  if (one.has('finish') && one.has('end')) await until(() => one.gone);
  if (other.has('finish') && other.has('end')) await until(() => other.gone);
}

/** Whether everything sent has arrived, or as much as a paused end reads ahead. */
function has({ socket, paused, received }: Watched, sent: number): boolean {
  return (
    received === sent ||
    (paused && (socket.bytesRead === sent || socket.readableLength >= socket.readableHighWaterMark))
  );
}

const acts = (isTcp: boolean): fc.Arbitrary<Step> => {
  const size = fc.oneof(fc.integer({ min: 1, max: 10 }), fc.integer({ min: 1, max: 9_000 }));
  const near = fc.oneof(
    { weight: 4, arbitrary: size },
    { weight: 6, arbitrary: fc.constantFrom<Act>('pause', 'resume', 'cork', 'uncork', 'end') },
    {
      weight: 2,
      arbitrary: fc.constantFrom<Act>('destroySoon', 'destroy', 'fail', ...(isTcp ? ['reset' as const] : [])),
    },
  );
  const far = fc.oneof(
    { weight: 3, arbitrary: size },
    { weight: 1, arbitrary: fc.constantFrom<Act>('end', ...(isTcp ? ['reset' as const] : [])) },
  );
  return fc.oneof(
    near.map((act) => ({ at: 'near' as const, act })),
    far.map((act) => ({ at: 'far' as const, act })),
  );
};

describe.each(realPlaces)('a stream in place of a net.Socket, over $name', (place) => {
  it.each([
    ['dialled', dialled],
    ['accepted', accepted],
  ])('I2: behaves like a net.Socket that was %s', async (_, make) => {
    await fc.assert(
      fc.asyncProperty(fc.array(acts(place.name === 'tcp'), { maxLength: 12 }), async (steps) => {
        const expected = await story(await make(place, false), steps);
        expect(await story(await make(place, true), steps)).toEqual(expected);
      }),
      { numRuns: 80 },
    );
  });
});
