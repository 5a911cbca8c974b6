import { config } from 'rxjs';
import { type SocketError, type Transport } from 'rxjs-sockets';
import { type Faulty, faulty, type Faults, memoryTransport } from 'rxjs-sockets/testing';
import { Client } from './client.js';
import { Delay } from './delay.js';
import { Dice } from './dice.js';
import { Findings } from './findings.js';
import { Host } from './host.js';
import { Publication } from './publication.js';
import { VirtualTime } from './virtual-time.js';
import { type Ends, type Listening, witnessed } from './witness.js';

/** The address of the server. */
export const target = 'memory:target';

/** How long the world is calm before its actors stop, in virtual ms. */
const calmTime = 8_000;
/** Within this time after the actors have stopped, everything must have ended, in virtual ms. */
const restTime = 200_000;

/** Error codes that must not occur. */
const impossible = new Set(['EIO', 'ERR_FRAME_INVALID', 'ERR_FRAME_TOO_LONG', 'ERR_NOT_A_FLOW', 'ERR_OPTION_INVALID']);

export interface Actor {
  /** Called between any two instants. */
  check(): void;
  /** Stops disturbing the world. */
  calm(): void;
  stop(): void;
  /** Called when nothing more can happen. */
  checkEnd(): void;
}

/** One run. The seed determines everything that happens in the run. */
export class World {
  readonly dice: Dice;
  readonly time: VirtualTime;
  readonly findings: Findings;
  readonly calmed: { value: boolean } = { value: false };
  /** Whether this is a gentle world, in which no message gets lost. */
  readonly gentle: boolean;
  /** How often each event happened. The test logs these counts. */
  readonly events: Map<string, number> = new Map();
  readonly publication: Publication;
  readonly host: Host;
  readonly clients: Client[] = [];
  /** The address that the clients dial. */
  readonly address: string;
  /** The size of the largest frame of any client, in bytes. */
  largestSent = 0;
  readonly proxy: Faulty | undefined;
  /** Whether the proxy may end a stream before all its bytes have passed. */
  readonly cuts: boolean;
  /** When all disturbances end, in ms. */
  readonly duration: number;

  private readonly network: Transport = memoryTransport();
  readonly ends: Ends = { open: new Set(), near: new Map(), far: new Map() };
  private readonly actors: Actor[] = [];
  private own = 0;
  private stopped = false;
  private readonly lingering = new Delay();
  private readonly promises = new Set<string>();

  constructor(seed: number, time: VirtualTime, findings: Findings) {
    this.dice = new Dice(seed);
    this.time = time;
    this.findings = findings;
    const { dice } = this;
    this.gentle = dice.chance(0.2);
    this.duration = dice.magnitude(30, 4_000);
    const faults = this.gentle || dice.chance(0.4) ? undefined : this.drawFaults();
    this.cuts =
      faults !== undefined && [faults.up, faults.down].some((way) => (way.cutAfter ?? way.cutEvery) !== undefined);
    this.proxy = faults === undefined ? undefined : faulty(target, { seed, ...faults, transport: this.transport() });
    this.address = this.proxy === undefined ? target : `${target}.faulty`;
    this.publication = new Publication(this);
    this.host = new Host(this);
    this.actors.push(this.publication, this.host);
    const clients = dice.pick([1, 1, 1, 1, 2, 3]);
    for (let id = 1; id <= clients; id++) {
      const client = new Client(this, id);
      this.clients.push(client);
      this.actors.push(client);
    }
    this.after(this.duration, () => this.calm());
  }

  transport(listening?: Listening): Transport {
    return witnessed(this.network, this.findings, this.ends, listening);
  }

  after(delay: number, work: () => void): void {
    this.own++;
    setTimeout(() => {
      this.own--;
      work();
    }, delay);
  }

  /** Like `after`, but does nothing if the world has calmed down by then. */
  disturb(delay: number, work: () => void): void {
    this.after(delay, () => {
      if (!this.calmed.value) work();
    });
  }

  /** Adds a promise that has to settle before the run ends. */
  expectSettled(name: string, promise: Promise<unknown>): void {
    this.promises.add(name);
    const settled = (): void => {
      this.promises.delete(name);
    };
    promise.then(settled, (error: unknown) => {
      settled();
      this.failed(name, error);
    });
  }

  count(event: string): void {
    this.events.set(event, (this.events.get(event) ?? 0) + 1);
  }

  /** Asserts that a failure is a SocketError with a plausible code. */
  failed(who: string, error: unknown): string {
    const code = (error as SocketError | undefined)?.code ?? String(error);
    this.count(code);
    this.findings.note(() => `${who} failed: ${code}`);
    if (impossible.has(code) || !/^E[A-Z_]+$/.test(code))
      this.findings.wrong('C8', `${who} failed with ${String(error)}`);
    if (code === 'ERR_FRAME_TRUNCATED' && !this.cuts) this.findings.wrong('D4', `${who}: a message was torn`);
    return code;
  }

  check(): void {
    for (const actor of this.actors) actor.check();
    // Everything that has ended must have cleared its timers.
    const isOver = this.stopped && this.ends.open.size === 0 && this.promises.size === 0 && this.host.isGone;
    const left = isOver && this.time.pending > this.own && this.clients.every((client) => client.isGone);
    if (this.lingering.lasts(left)) {
      this.findings.wrong('rest', `${this.time.pending - this.own} timers are left when all else is gone`);
    }
  }

  checkEnd(): void {
    const { findings, time } = this;
    for (const actor of this.actors) actor.checkEnd();
    for (const name of this.promises) findings.wrong('C5', `${name} was never settled`);
    for (const strike of this.proxy?.strikes ?? []) this.count(`strike ${strike.fault}`);
    for (const { name } of this.ends.open) findings.wrong('S1', `${name} was left open`);
    if (time.pending > 0) findings.wrong('rest', `${time.pending} timers wait for ever`);
  }

  private calm(): void {
    this.calmed.value = true;
    this.findings.note(() => '-- calm');
    for (const actor of this.actors) actor.calm();
    this.after(calmTime, () => {
      this.findings.note(() => '-- stop');
      this.stopped = true;
      for (const actor of this.actors) actor.stop();
      if (this.proxy !== undefined) this.expectSettled("the proxy's shutdown", this.proxy.shutdown());
    });
  }

  private drawFaults(): { up: Faults; down: Faults } {
    const { dice } = this;
    const way = (): Faults => ({
      ...(dice.chance(0.4) ? { latency: [0, dice.magnitude(1, 500)] as const } : {}),
      ...(dice.chance(0.1) ? { bandwidth: dice.magnitude(5_000, 1_000_000) } : {}),
      ...(dice.chance(0.3) ? { slices: [dice.magnitude(20, 500), dice.magnitude(500, 20_000)] as const } : {}),
      ...(dice.chance(0.2) ? { blackHoleAfter: [0, 5_000] as const, blackHoleFor: [1, 4_000] as const } : {}),
      ...(dice.chance(0.05) ? { blackHoleAfter: [0, 20_000] as const, blackHoleFor: 0 } : {}),
      ...(dice.chance(0.2) ? { lateFin: [0, 3_000] as const } : {}),
      ...(dice.chance(0.2) ? { resetAfter: [0, dice.magnitude(100, 100_000)] as const } : {}),
      ...(dice.chance(0.15) ? { cutAfter: [0, dice.magnitude(100, 100_000)] as const } : {}),
      ...(dice.chance(0.1) ? { cutEvery: [100, dice.magnitude(200, 50_000)] as const } : {}),
    });
    return { up: way(), down: way() };
  }
}

export interface Outcome {
  readonly found: readonly string[];
  readonly story: readonly string[];
  readonly events: ReadonlyMap<string, number>;
}

/** Runs the world of one seed to its end, or to its first violation. */
export async function simulate(seed: number, tells = false): Promise<Outcome> {
  const time = new VirtualTime(seed);
  const findings = new Findings(() => time.now - 1_000_000, tells);
  const restore = time.install();
  const caught = (error: unknown): void => {
    findings.wrong('C10', `uncaught: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  };
  const before = config.onUnhandledError;
  const { stackTraceLimit } = Error;
  // A run creates thousands of errors, and it takes long to create their stack traces.
  if (!tells) Error.stackTraceLimit = 0;
  config.onUnhandledError = caught;
  process.on('unhandledRejection', caught);
  try {
    const world = new World(seed, time, findings);
    const limit = time.now + world.duration + calmTime + restTime;
    await time.settle();
    for (let more = true; more && findings.found.length === 0;) {
      try {
        more = time.step(limit);
      } catch (error) {
        caught(error);
      }
      await time.settle();
      world.check();
      if (time.fired > 200_000) findings.wrong('rest', 'it does not settle');
    }
    if (findings.found.length === 0) world.checkEnd();
    return { found: findings.found, story: findings.story ?? [], events: world.events };
  } finally {
    process.off('unhandledRejection', caught);
    config.onUnhandledError = before;
    Error.stackTraceLimit = stackTraceLimit;
    restore();
  }
}
