import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Encoder } from '../../src/codecs/codec.js';
import { SocketError } from '../../src/errors/socket-error.js';
import { Outbound, type OutboundOwner } from '../../src/io/outbound.js';
import type { OutboundLimits } from '../../src/io/write-state.js';
import { ScriptedSocket } from '../support/transport/scripted-transport.js';

const limits: OutboundLimits = { highWaterMark: 40_000, maxBuffered: 2 ** 24, overflow: 'error' };
const owner: OutboundOwner = {
  hasIncidents: false,
  sendFailed: () => {
    throw new Error('`maxBuffered` is never exceeded here');
  },
};
const encoder: Encoder<Buffer> = {
  encode: (value, into) => {
    into.bytes(value);
  },
};

/** Returns a value of `size` bytes that contains `number` and `side`, the side that sends the value. */
function valueOf(side: 'client' | 'own', number: number, size: number): Buffer {
  const value = Buffer.alloc(size, `<${side} ${number}>`);
  value.writeUInt32BE(size, 0);
  value.writeUInt32BE(number, 4);
  value.write(side === 'own' ? 'o' : 'c', 8);
  return value;
}

interface Parsed {
  readonly side: 'client' | 'own';
  readonly number: number;
}

/** Returns the complete values of a stream, and whether the stream ends inside a value. */
function parsed(stream: Buffer): { values: Parsed[]; isTorn: boolean } {
  const values: Parsed[] = [];
  let at = 0;
  while (at < stream.length) {
    const size = at + 9 <= stream.length ? stream.readUInt32BE(at) : Infinity;
    if (at + size > stream.length) return { values, isTorn: true };
    const side = stream.toString('latin1', at + 8, at + 9) === 'o' ? 'own' : 'client';
    const number = stream.readUInt32BE(at + 4);
    expect(stream.subarray(at, at + size).equals(valueOf(side, number, size))).toBe(true);
    values.push({ side, number });
    at += size;
  }
  return { values, isTorn: false };
}

type Step =
  | {
      readonly do: 'send';
      readonly side: 'client' | 'own';
      readonly size: number;
      readonly waits: 'writable' | 'flushed' | 'no';
    }
  | { readonly do: 'take'; readonly share: number }
  | { readonly do: 'turn' }
  | { readonly do: 'retire'; readonly gap: number };

const steps = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('send' as const),
        side: fc.constantFrom('client' as const, 'own' as const),
        size: fc.oneof(fc.integer({ min: 9, max: 200 }), fc.integer({ min: 9, max: 30_000 }), fc.constant(100_000)),
        waits: fc.constantFrom('writable' as const, 'flushed' as const, 'no' as const),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant('take' as const), share: fc.double({ min: 0.1, max: 1, noNaN: true }) }),
    },
    { weight: 3, arbitrary: fc.constant({ do: 'turn' as const }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('retire' as const), gap: fc.nat(3) }) },
  ),
  { minLength: 5, maxLength: 60 },
);

interface Sent extends Parsed {
  readonly connection: number;
  readonly waits: (Step & { do: 'send' })['waits'];
  fate: 'pending' | 'resolved' | 'rejected' | 'unwatched';
}

/** A client whose connections are opened and closed by the steps. */
class Model {
  readonly sent: Sent[] = [];
  readonly sockets: ScriptedSocket[] = [];
  /** For each ended connection, the bytes that the kernel had taken. */
  readonly taken: Buffer[] = [];
  /** The sending side that now gets the values of the client. */
  clientOutbound: Outbound = new Outbound(limits, owner);
  readonly client = this.clientOutbound.lane;
  private outbound: Outbound | undefined;
  private number = 0;

  constructor() {
    this.connect();
  }

  /** The sending side of the current connection. */
  get own(): Outbound {
    return this.outbound!;
  }

  get socket(): ScriptedSocket {
    return this.sockets.at(-1)!;
  }

  connect(): void {
    const socket = new ScriptedSocket();
    socket.eager = false;
    this.sockets.push(socket);
    const outbound = (this.outbound = new Outbound(limits, owner));
    socket.open({
      onData: () => undefined,
      onEnd: () => undefined,
      onDrain: () => {
        outbound.taken();
      },
      onClose: () => undefined,
    });
    outbound.attach(socket);
  }

  send({ side, size, waits }: Step & { do: 'send' }): void {
    const [outbound, lane] = side === 'own' ? [this.own, this.own.lane] : [this.clientOutbound, this.client];
    const sent: Sent = { side, number: this.number++, connection: this.sockets.length - 1, waits, fate: 'unwatched' };
    expect(outbound.push(lane, encoder, valueOf(side, sent.number, size), 'free')).toBeUndefined();
    this.sent.push(sent);
    const settle = (fate: 'resolved' | 'rejected') => () => {
      expect(sent.fate, `${side} ${sent.number} settles once`).toBe('pending');
      sent.fate = fate;
    };
    if (waits === 'no') return;
    sent.fate = 'pending';
    if (waits === 'flushed') lane.whenFlushed(settle('resolved'), settle('rejected'));
    else lane.whenWritable().then(settle('resolved'), settle('rejected'));
  }

  adopt(): void {
    const earlier = this.clientOutbound;
    this.clientOutbound = this.own;
    this.own.adopt(earlier);
  }

  /**
   * Checks that no lane is writable while more than `highWaterMark` is queued on all lanes together (C5). The client's
   * channel has one lane, and the own channels of the connection have the other lane.
   */
  checkMarks(): void {
    expect(this.clientOutbound.bufferedBytes > limits.highWaterMark && this.client.watermark.writable).toBe(false);
    expect(this.own.bufferedBytes > limits.highWaterMark && this.own.lane.watermark.writable).toBe(false);
  }

  async take(share: number): Promise<void> {
    const { socket } = this;
    if (socket.unsent > 0) socket.take(Math.ceil(socket.unsent * share));
    await turn();
  }

  retire(): void {
    const { socket } = this;
    const outbound = this.outbound!;
    const written = Buffer.concat(socket.writes);
    this.taken.push(written.subarray(0, written.length - socket.unsent));
    outbound.retire(owner, (successor) => (this.clientOutbound = successor));
    outbound.fail(new SocketError('ECONNRESET', 'reset'));
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the sending sides of one client', () => {
  it('C5: if one lane fills up as soon as it is writable again, the other lane does not become writable', async () => {
    const model = new Model();
    model.adopt();
    const size = limits.highWaterMark + 1;
    model.send({ do: 'send', side: 'client', size, waits: 'no' });
    await turn();
    const { lane } = model.own;
    const events: string[] = [];
    lane.watermark.changes.subscribe((writable) => {
      events.push(`own ${writable}`);
      if (writable) model.send({ do: 'send', side: 'own', size, waits: 'no' });
    });
    model.client.watermark.changes.subscribe((writable) => events.push(`client ${writable}`));
    await model.take(1);
    expect(events).toEqual(['own false', 'client false', 'own true', 'own false']);
    model.checkMarks();
  });

  it('C4, C5: values queued in the client and values that prepare its connection count together in bufferedBytes', () => {
    const model = new Model();
    const size = limits.highWaterMark - 1_000;
    model.send({ do: 'send', side: 'client', size, waits: 'no' });
    model.send({ do: 'send', side: 'own', size, waits: 'no' });
    model.adopt();
    expect([model.client.watermark.writable, model.own.lane.watermark.writable]).toEqual([false, false]);
    expect(model.clientOutbound.bufferedBytes).toBe(2 * size);
  });

  it('C5, K4, K12: client values are written once, whole, in order; own values stay on their connection', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (steps) => {
        const model = new Model();
        model.adopt();
        for (const step of steps) {
          switch (step.do) {
            case 'send':
              model.send(step);
              break;
            case 'take':
              await model.take(step.share);
              break;
            case 'turn':
              await turn();
              break;
            case 'retire': {
              model.retire();
              for (let count = 0; count < step.gap; count++)
                model.send({ do: 'send', side: 'client', size: 500, waits: 'flushed' });
              model.connect();
              // Values that prepare the connection go before the client's values (K18).
              if (step.gap > 1) model.send({ do: 'send', side: 'own', size: 5_000, waits: 'flushed' });
              if (step.gap > 2) await turn();
              model.adopt();
            }
          }
          model.checkMarks();
        }
        while (model.socket.unsent > 0 || model.clientOutbound.bufferedBytes > 0) await model.take(1);
        for (let count = 0; count < 4; count++) await turn();
        check(model);
      }),
      { numRuns: 150 },
    );
  });
});

function check({ sent, sockets, taken }: Model): void {
  const seen = new Map<string, number>();
  let torn = 0;
  const clients: number[] = [];
  sockets.forEach((socket, connection) => {
    const { values, isTorn } = parsed(Buffer.concat(socket.writes));
    expect(isTorn && connection === sockets.length - 1).toBe(false);
    if (isTorn) torn++;
    const own = values.filter(({ side }) => side === 'own').map(({ number }) => number);
    expect(own).toEqual(own.toSorted((a, b) => a - b));
    for (const { side, number } of values) {
      const key = `${side} ${number}`;
      expect(seen.has(key), `${key} is written once`).toBe(false);
      seen.set(key, connection);
      if (side === 'client') clients.push(number);
    }
    // C15: the values sent on this connection are written in the order of sending, whatever their lane.
    const mine = values.map(({ number }) => sent[number]!).filter((value) => value.connection === connection);
    expect(mine).toEqual(mine.toSorted((a, b) => a.number - b.number));
  });
  expect(clients).toEqual(clients.toSorted((a, b) => a - b));
  let lost = 0;
  for (const { side, number, connection, waits, fate } of sent) {
    const where = seen.get(`${side} ${number}`);
    expect(fate, `${side} ${number}`).not.toBe('pending');
    if (side === 'own') {
      expect([connection, undefined]).toContain(where);
      if (connection === sockets.length - 1) expect([where, fate === 'rejected']).toEqual([connection, false]);
    } else if (where === undefined) lost++;
    // A send that waits for the flush resolves only if the kernel has taken its value. A send whose value the kernel
    // has taken never rejects.
    const whole = where === undefined || where === sockets.length - 1 ? undefined : parsed(taken[where]!).values;
    const isTaken = whole?.some((value) => value.side === side && value.number === number) ?? where !== undefined;
    if (fate === 'resolved' && waits === 'flushed') expect(isTaken, `${side} ${number} was taken`).toBe(true);
    if (fate === 'rejected') {
      expect(where).not.toBe(sockets.length - 1);
      expect(isTaken, `${side} ${number} was not taken`).toBe(false);
    }
  }
  // K12: each connection loses at most one value of the client, the value that was cut in the middle.
  expect(lost).toBeLessThanOrEqual(torn);
}
