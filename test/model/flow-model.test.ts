import fc from 'fast-check';
import { firstValueFrom, type Subscription } from 'rxjs';
import { type Connection, type Hold } from 'rxjs-sockets';
import { lengthPrefixed } from 'rxjs-sockets/codecs';
import { describe, it } from 'vitest';
import { places, type Place, realPlaces } from '../support/transport/places.js';
import { pairAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawClient } from '../support/sockets/plain-sockets.js';

type Bytes = Uint8Array | string;

/** The expected state: how many messages were sent, and the subscribers and Holds, on which the emission depends. */
interface Model {
  sent: number;
  subscribers: Set<number>;
  holds: number;
}

/** Returns a message that consists of `number` and of `size` further bytes. */
function message(number: number, size: number): Buffer {
  const bytes = Buffer.alloc(4 + size, number & 0xff);
  bytes.writeUInt32BE(number);
  return bytes;
}

/** An observer: the next message that it has to get, and how many messages were emitted before it subscribed. */
interface Observed {
  subscription: Subscription;
  next: number | undefined;
  readonly since: number;
}

/** A real channel with its observers. Checks each message that an observer gets. */
class Receiver {
  readonly model: Model;
  emitted = 0;
  private readonly connection: Connection<Buffer, Bytes>;
  private readonly observers = new Map<number, Observed>();
  private readonly holds: Hold[] = [];
  private readonly failures: string[] = [];
  private wake: (() => void) | undefined;

  constructor(connection: Connection<Buffer, Bytes>, model: Model) {
    this.connection = connection;
    this.model = model;
  }

  subscribe(id: number): void {
    const observer: Observed = { subscription: undefined as never, next: undefined, since: this.emitted };
    this.observers.set(id, observer);
    observer.subscription = this.connection.data.subscribe({
      next: (value) => {
        this.see(id, value.readUInt32BE(), observer);
      },
      error: (error: unknown) => this.failures.push(String(error)),
    });
  }

  unsubscribe(id: number): void {
    this.observers.get(id)?.subscription.unsubscribe();
    this.observers.delete(id);
  }

  hold(): void {
    this.holds.push(this.connection.data.hold());
  }

  release(): void {
    this.holds.pop()?.release();
  }

  async emittedAll(): Promise<void> {
    while (this.emitted < this.model.sent && this.failures.length === 0) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    this.check();
  }

  check(): void {
    for (const [id, { next, since }] of this.observers) {
      if (this.emitted > since && next !== this.emitted)
        this.failures.push(`F4: observer ${id} has missed ${this.emitted - 1}`);
    }
    if (this.failures.length > 0) throw new Error(this.failures.join('; '));
  }

  private see(id: number, number: number, observer: Observed): void {
    const { model } = this;
    if (model.holds > 0) this.failures.push(`F2: ${number} was emitted while held`);
    if (!model.subscribers.has(id)) this.failures.push(`F8: observer ${id} was given ${number} after it had left`);
    if (observer.next !== undefined && observer.next !== number) {
      this.failures.push(`C1: observer ${id} was given ${number} instead of ${observer.next}`);
    }
    observer.next = number + 1;
    // The first observer that gets a message must get the next number. All other observers must get this number (F4).
    if (number === this.emitted) this.emitted++;
    else if (number !== this.emitted - 1) this.failures.push(`C1: ${number} was emitted, ${this.emitted} was due`);
    if (this.emitted === model.sent || this.failures.length > 0) this.wake?.();
  }
}

/** Sends one value in a frame. */
type Send = (payload: Buffer) => void;

interface Real {
  receiver: Receiver;
  send: Send;
}

class SendCommand implements fc.AsyncCommand<Model, Real> {
  readonly sizes: readonly number[];
  constructor(sizes: readonly number[]) {
    this.sizes = sizes;
  }
  check = (): boolean => true;
  run(model: Model, real: Real): Promise<void> {
    for (const size of this.sizes) real.send(message(model.sent++, size));
    return Promise.resolve();
  }
  toString = (): string => `send(${this.sizes.join(', ')})`;
}

class SubscribeCommand implements fc.AsyncCommand<Model, Real> {
  readonly id: number;
  constructor(id: number) {
    this.id = id;
  }
  check = (model: Readonly<Model>): boolean => !model.subscribers.has(this.id);
  run(model: Model, real: Real): Promise<void> {
    model.subscribers.add(this.id);
    real.receiver.subscribe(this.id);
    return Promise.resolve();
  }
  toString = (): string => `subscribe(${this.id})`;
}

class UnsubscribeCommand implements fc.AsyncCommand<Model, Real> {
  readonly id: number;
  constructor(id: number) {
    this.id = id;
  }
  check = (model: Readonly<Model>): boolean => model.subscribers.has(this.id);
  run(model: Model, real: Real): Promise<void> {
    real.receiver.unsubscribe(this.id);
    model.subscribers.delete(this.id);
    return Promise.resolve();
  }
  toString = (): string => `unsubscribe(${this.id})`;
}

class HoldCommand implements fc.AsyncCommand<Model, Real> {
  check = (model: Readonly<Model>): boolean => model.holds < 3;
  run(model: Model, real: Real): Promise<void> {
    model.holds++;
    real.receiver.hold();
    return Promise.resolve();
  }
  toString = (): string => 'hold()';
}

class ReleaseCommand implements fc.AsyncCommand<Model, Real> {
  check = (model: Readonly<Model>): boolean => model.holds > 0;
  run(model: Model, real: Real): Promise<void> {
    model.holds--;
    real.receiver.release();
    return Promise.resolve();
  }
  toString = (): string => 'release()';
}

class TurnsCommand implements fc.AsyncCommand<Model, Real> {
  readonly turns: number;
  constructor(turns: number) {
    this.turns = turns;
  }
  check = (): boolean => true;
  async run(_model: Model, real: Real): Promise<void> {
    for (let i = 0; i < this.turns; i++) await new Promise((resolve) => setImmediate(resolve));
    real.receiver.check();
  }
  toString = (): string => `turns(${this.turns})`;
}

class ArriveCommand implements fc.AsyncCommand<Model, Real> {
  check = (model: Readonly<Model>): boolean => model.holds === 0 && model.subscribers.size > 0;
  run(_model: Model, real: Real): Promise<void> {
    return real.receiver.emittedAll();
  }
  toString = (): string => 'arrive()';
}

const size = fc.oneof(
  { weight: 6, arbitrary: fc.nat(64) },
  { weight: 2, arbitrary: fc.nat(5_000) },
  { weight: 1, arbitrary: fc.nat(150_000) },
);

const commands = fc.commands(
  [
    fc.array(size, { minLength: 1, maxLength: 8 }).map((sizes) => new SendCommand(sizes)),
    fc.nat(2).map((id) => new SubscribeCommand(id)),
    fc.nat(2).map((id) => new UnsubscribeCommand(id)),
    fc.constant(new HoldCommand()),
    fc.constant(new ReleaseCommand()),
    fc.integer({ min: 1, max: 4 }).map((turns) => new TurnsCommand(turns)),
    fc.constant(new ArriveCommand()),
  ],
  { maxCommands: 40 },
);

async function runOn(
  connection: Connection<Buffer, Bytes>,
  send: Send,
  script: Iterable<fc.AsyncCommand<Model, Real>>,
): Promise<void> {
  const model: Model = { sent: 0, subscribers: new Set(), holds: 0 };
  const receiver = new Receiver(connection, model);
  await fc.asyncModelRun(() => ({ model, real: { receiver, send } }), script);
  // After any script, all messages arrive when there is a subscriber and no Hold.
  while (model.holds-- > 0) receiver.release();
  model.holds = 0;
  if (model.subscribers.size === 0) {
    model.subscribers.add(0);
    receiver.subscribe(0);
  }
  await receiver.emittedAll();
}

describe.each(places)('a channel over $name', (place: Place) => {
  it('C1: the channel emits everything that was sent, in order and once, however sends, subscriptions and Holds interleave', async () => {
    const codec = lengthPrefixed();
    await fc.assert(
      fc.asyncProperty(commands, async (script) => {
        const { near, far } = await pairAt<Buffer, Bytes>(place, { codec, maxBuffered: 2 ** 26 });
        try {
          await runOn(far, (payload) => near.data.next(payload), script);
        } finally {
          near.destroy();
          far.destroy();
        }
      }),
      { numRuns: 150 },
    );
  });
});

describe.each(realPlaces)('a channel over $name, fed by a plain socket', (place: Place) => {
  it('C1: the channel emits everything that was sent, in order and once, however the bytes are split into chunks', async () => {
    const codec = lengthPrefixed();
    await fc.assert(
      fc.asyncProperty(
        commands,
        fc.array(fc.integer({ min: 1, max: 3_000 }), { minLength: 1 }),
        async (script, cuts) => {
          let accepted: (connection: Connection<Buffer, Bytes>) => void = () => undefined;
          const connected = new Promise<Connection<Buffer, Bytes>>((resolve) => {
            accepted = resolve;
          });
          const { address, subscription } = await serverAt<Buffer, Bytes>(place, (connection) => accepted(connection), {
            codec,
          });
          const raw = await rawClient(address);
          const connection = await connected;
          let cut = 0;
          const send: Send = (payload) => {
            const header = Buffer.alloc(4);
            header.writeUInt32BE(payload.length);
            let rest = Buffer.concat([header, payload]);
            while (rest.length > 0) {
              const length = cuts[cut++ % cuts.length] ?? 1;
              raw.write(rest.subarray(0, length));
              rest = rest.subarray(length);
            }
          };
          try {
            await runOn(connection, send, script);
          } finally {
            const closed = firstValueFrom(connection.closed);
            raw.destroy();
            connection.destroy();
            await closed;
            subscription.unsubscribe();
          }
        },
      ),
      { numRuns: 100 },
    );
  });
});
