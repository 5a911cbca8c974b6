import fc from 'fast-check';
import { asyncScheduler, type Subscription } from 'rxjs';
import {
  type Address,
  type Channel,
  type Client,
  connect,
  type Connection,
  type Hold,
  listen,
  requests,
  type Requests,
  type Server,
  type SocketError,
} from 'rxjs-sockets';
import { jsonLines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { VirtualTime } from '../simulation/virtual-time.js';
import '../support/leaks.js';
import { memory, type Place, tcp, unix } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { turns, until } from '../support/scheduling/event-loop.js';

const acts = [
  'ask',
  'ask a large one',
  'ask something that cannot be encoded',
  'answer the first',
  'answer the last',
  'answer all',
  'answer nobody',
  'event',
  'many events',
  'listen to events',
  'leave the events',
  'hold the events',
  'release the events',
  'hold the channel',
  'release the channel',
  'stop reading',
  'read',
  'serve',
  'serve no more',
  'server ends',
  'server resets',
  'destroy',
] as const;
type Act = (typeof acts)[number];

const often: Partial<Record<Act, number>> = {
  ask: 60,
  'ask a large one': 8,
  'answer the first': 40,
  'answer the last': 20,
  'listen to events': 10,
  'release the events': 10,
  'release the channel': 10,
  read: 10,
  serve: 30,
  destroy: 1,
};

const script = { minLength: 20, maxLength: 120, size: 'max' } as const;

/** An act, and how many ms or turns of the event loop pass after the act. */
const step = fc.record({
  does: fc.oneof(...acts.map((act) => ({ weight: often[act] ?? 4, arbitrary: fc.constant(act) }))),
  after: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 2, arbitrary: fc.nat(8) }, fc.nat(60)),
});

interface Message {
  readonly id?: number;
  readonly ask?: unknown;
  readonly answer?: unknown;
  readonly event?: number;
  readonly more?: string;
}

interface Setting {
  readonly byId: boolean;
  readonly reconnect: boolean;
  readonly watched: boolean;
  readonly halfOpen: boolean;
  readonly timeout: number;
}

const setting = (timeout: number): fc.Arbitrary<Setting> =>
  fc.record({
    byId: fc.boolean(),
    reconnect: fc.boolean(),
    watched: fc.boolean(),
    halfOpen: fc.boolean(),
    timeout: fc.constant(timeout),
  });

const maxPending = 6;

interface Question {
  readonly number: number;
  readonly at: number;
  readonly answer: Promise<Message>;
  outcome: Message | SocketError | undefined;
  /** The step in which the request was settled. */
  settledIn: number;
}

/** The server's side of one connection. */
interface Desk {
  readonly connection: Connection<Message, Message>;
  readonly unanswered: number[];
  /** The step in which the connection was opened. */
  readonly openedIn: number;
  hold: Hold | undefined;
}

/** A client that sends requests, a server that answers in any order or not at all, and checks of rule K21. */
class World {
  readonly questions: Question[] = [];
  readonly client: Client<Message, Message>;
  private readonly setting: Setting;
  private readonly server: Server<Message, Message>;
  private readonly asked: Requests<Message> & { ask(request: Message, id?: number): Promise<Message> };
  private readonly desks: Desk[] = [];
  /** The requests that the server has received, and the requests that it has answered. */
  private readonly received: number[] = [];
  private readonly answered = new Set<number>();
  private readonly events: number[] = [];
  private readonly eventHolds: Hold[] = [];
  private readonly holds: Hold[] = [];
  private readonly failures: string[] = [];
  private states: Subscription | undefined;
  private serving: Subscription | undefined;
  private listening: Subscription | undefined;
  private asks = 0;
  private emitted = 0;
  private step = 0;

  constructor(place: Place, address: Address, setting: Setting) {
    const codec = jsonLines<Message>({ maxLength: 1_000_000 });
    const options = { ...place.options, codec, claimTimeout: 0, closeTimeout: 50 };
    this.setting = setting;
    this.server = listen(address, options);
    this.client = connect(address, {
      ...options,
      halfOpen: setting.halfOpen,
      ...(setting.reconnect ? { reconnect: { delay: 1 } } : {}),
    });
    this.asked = correlated(this.client.data, setting);
    this.serving = this.serve();
    if (setting.watched) this.states = this.client.subscribe({ error: () => undefined });
  }

  take(does: Act): void {
    this.step++;
    const { client, desks } = this;
    const desk = desks.findLast(({ connection }) => !connection.data.closed);
    switch (does) {
      case 'ask':
        this.ask({});
        break;
      case 'ask a large one':
        this.ask({ more: 'x'.repeat(200_000) });
        break;
      case 'ask something that cannot be encoded':
        this.ask({ ask: 1n });
        break;
      case 'answer the first':
        this.answer(desk, desk?.unanswered.shift());
        break;
      case 'answer the last':
        // Without ids, the answers have to be in order.
        this.answer(desk, this.setting.byId ? desk?.unanswered.pop() : desk?.unanswered.shift());
        break;
      case 'answer all':
        for (const number of desk?.unanswered.splice(0) ?? []) this.answer(desk, number);
        break;
      case 'answer nobody':
        if (this.setting.byId) desk?.connection.data.next({ id: 1_000_000, answer: 1_000_000 });
        break;
      case 'event':
        this.emit(desk, 1);
        break;
      case 'many events':
        this.emit(desk, 1_500);
        break;
      case 'listen to events':
        this.listening ??= this.listen();
        break;
      case 'leave the events':
        this.listening?.unsubscribe();
        this.listening = undefined;
        break;
      case 'hold the events':
        this.eventHolds.push(this.asked.events.hold());
        break;
      case 'release the events':
        this.eventHolds.pop()?.release();
        break;
      case 'hold the channel':
        this.holds.push(client.data.hold());
        break;
      case 'release the channel':
        this.holds.pop()?.release();
        break;
      case 'stop reading':
        if (desk !== undefined) desk.hold ??= desk.connection.data.hold();
        break;
      case 'read':
        desk?.hold?.release();
        if (desk !== undefined) desk.hold = undefined;
        break;
      case 'serve':
        this.serving ??= this.serve();
        break;
      case 'serve no more':
        this.serving?.unsubscribe();
        this.serving = undefined;
        break;
      case 'server ends':
        desk?.connection.data.complete();
        break;
      case 'server resets':
        desk?.connection.destroy();
        break;
      case 'destroy':
        client.data.error('enough');
    }
    this.check();
  }

  /** Checks what must hold after each step. */
  check(): void {
    const { asked, questions, setting } = this;
    const now = asyncScheduler.now();
    expect(asked.pending).toBeGreaterThanOrEqual(0);
    expect(asked.pending).toBeLessThanOrEqual(maxPending);
    if (setting.timeout > 0) {
      // No request is pending longer than `timeout`.
      const young = questions.filter(({ at }) => at + setting.timeout >= now).length;
      expect(asked.pending).toBeLessThanOrEqual(young);
    }
    expect(this.failures).toEqual([]);
    expect(new Set(this.received).size, 'K21: one was asked twice').toBe(this.received.length);
  }

  /** Checks `pending`. Call when the callbacks of all settled promises have run. */
  checkPending(): void {
    expect(this.asked.pending).toBe(this.questions.filter(({ outcome }) => outcome === undefined).length);
  }

  end(): void {
    for (const hold of [...this.holds, ...this.eventHolds]) hold.release();
    for (const { hold } of this.desks) hold?.release();
    this.listening?.unsubscribe();
    this.serving?.unsubscribe();
    for (const { connection } of this.desks) connection.destroy();
    this.client.data.error('over');
    this.states?.unsubscribe();
  }

  /** Checks the outcomes of all requests. Call when everything has ended. */
  judge(): void {
    this.check();
    expect(this.asked.pending).toBe(0);
    for (const { number, outcome } of this.questions) {
      if (outcome === undefined) throw new Error(`question ${number} has neither been answered nor rejected`);
      if (outcome instanceof Error) {
        const expected = [
          'ECONNABORTED',
          'ECONNREFUSED',
          'ECONNRESET',
          'ENOENT',
          'EPIPE',
          'ERR_CLOSED',
          'ERR_FRAME_INVALID',
          'ERR_OVERFLOW',
          'ERR_TIMEOUT_REQUEST',
        ];
        expect(expected).toContain(outcome.code);
      } else {
        expect(outcome.answer, 'K21: the answer of another').toBe(number);
        expect(this.answered).toContain(number);
      }
    }
    for (const [index, event] of this.events.entries()) {
      if (index > 0) expect(event).toBeGreaterThan(this.events[index - 1]!);
    }
  }

  private ask(message: Message): void {
    const { asked, setting } = this;
    const number = this.asks++;
    const before = asked.pending;
    const request = { ask: number, ...message };
    const answer = setting.byId ? asked.ask({ id: number, ...request }, number) : asked.ask(request);
    if (before === maxPending) expect(asked.pending).toBe(maxPending);
    const question: Question = { number, at: asyncScheduler.now(), answer, outcome: undefined, settledIn: 0 };
    this.questions.push(question);
    const settle = (outcome: Message | SocketError): void => {
      question.outcome = outcome;
      question.settledIn = this.step;
    };
    answer.then(settle, (error: unknown) => settle(error as SocketError));
  }

  private receive(desk: Desk, number: number): void {
    this.received.push(number);
    desk.unanswered.push(number);
    const { outcome, settledIn } = this.questions[number]!;
    // Of the rejected requests, only those that have timed out may still be sent on a later connection.
    if (!(outcome instanceof Error) || outcome.code === 'ERR_TIMEOUT_REQUEST' || settledIn >= desk.openedIn) return;
    this.failures.push(`K4: ${number} was rejected, and sent on a later connection`);
  }

  private answer(desk: Desk | undefined, number: number | undefined): void {
    if (desk === undefined || number === undefined) return;
    this.answered.add(number);
    desk.connection.data.next(this.setting.byId ? { id: number, answer: number } : { answer: number });
  }

  /** Sends events only if requests have ids. Without ids, an event during a request looks like the answer. */
  private emit(desk: Desk | undefined, count: number): void {
    if (!this.setting.byId) return;
    for (let i = 0; i < count; i++) desk?.connection.data.next({ event: this.emitted++ });
  }

  private listen(): Subscription {
    return this.asked.events.subscribe({
      next: ({ event }) => {
        if (event === undefined) this.failures.push('K21: an answer was an event');
        else this.events.push(event);
      },
      error: () => undefined,
    });
  }

  private serve(): Subscription {
    return this.server.subscribe((connection) => {
      const desk: Desk = { connection, unanswered: [], openedIn: this.step, hold: undefined };
      this.desks.push(desk);
      connection.data.subscribe({
        next: ({ ask }) => {
          this.receive(desk, ask as number);
        },
        error: () => undefined,
        complete: () => connection.data.complete(),
      });
    });
  }
}

function correlated(data: Channel<Message, Message>, { byId, timeout }: Setting) {
  if (byId) return requests(data, { answers: ({ id }: Message) => id, timeout, maxPending });
  return requests(data, { timeout, maxPending });
}

describe('requests, in virtual time', () => {
  it('K21: each request is settled once and in time, by its own answer or by a rejection, and no request is sent twice', async () => {
    const address = { transport: 'memory', name: 'model' } as const;
    await fc.assert(
      fc.asyncProperty(setting(40), fc.array(step, script), async (setting, steps) => {
        const clock = new VirtualTime(1);
        const restore = clock.install();
        try {
          const world = new World(memory(), address, setting);
          const pass = async (time: number): Promise<void> => {
            const then = clock.now + time;
            do await clock.settle();
            while (clock.step(then));
            world.checkPending();
          };
          for (const { does, after } of steps) {
            world.take(does);
            await pass(after);
          }
          world.end();
          await pass(1_000);
          world.judge();
          expect(clock.pending, 'timers that are left').toBe(0);
        } finally {
          restore();
        }
      }),
      { numRuns: 500 },
    );
  }, 120_000);
});

describe.each([
  ['memory', memory(), 150],
  ['tcp', tcp, 80],
  ['unix', unix, 80],
] as const)('requests on %s', (_name, place, numRuns) => {
  it('K21: each request is settled exactly once, by its own answer or by a rejection, and no request is sent twice', async () => {
    await fc.assert(
      fc.asyncProperty(setting(0), fc.array(step, script), async (setting, steps) => {
        const { address, subscription } = await serverAt(place, () => undefined);
        subscription.unsubscribe();
        const world = new World(place, address, setting);
        for (const { does, after } of steps) {
          world.take(does);
          await turns(Math.min(after, 10));
        }
        world.end();
        await until(() => world.questions.every(({ outcome }) => outcome !== undefined));
        world.judge();
      }),
      { numRuns },
    );
  }, 120_000);
});
