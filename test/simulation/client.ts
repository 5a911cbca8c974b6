import { finalize, from, mergeMap, type ObservableInput, Subscription, take, tap, throwError, timer } from 'rxjs';
import {
  backoff,
  connect,
  type Client as SocketClient,
  type Connection,
  type ConnectOptions,
  formatAddress,
} from 'rxjs-sockets';
import { host } from '../../src/channel/internal-access.js';
import type { SendLane } from '../../src/io/send-lane.js';
import type { SocketConnection } from '../../src/connection/socket-connection.js';
import { Arrivals } from './arrivals.js';
import { Claims } from './claims.js';
import { codec, decodeMessage, type Draft, type Message, shownMessage } from './message.js';
import { MessageOrder } from './message-order.js';
import { Outgoing } from './outgoing.js';
import { type Manner, Reading } from './reading.js';
import { drawPolicy, type Policy, States } from './states.js';
import type { WitnessedSocket } from './witness.js';
import { type Actor, type World } from './world.js';
import { Writing } from './writing.js';

type Out = Buffer | Draft;

/** A client that dials, sends, receives, leaves and comes back. Some clients have `reconnect`. */
export class Client implements Actor {
  readonly id: number;
  readonly sockets: WitnessedSocket[] = [];
  received = 0;
  private readonly world: World;
  private readonly name: string;
  private readonly client: SocketClient<Buffer, Out>;
  private readonly policy: Policy | undefined;
  private readonly lossy: boolean;
  private readonly maxBuffered: number;
  private readonly watches: boolean;
  private readonly writing: Writing;
  private readonly steady: boolean;
  /**
   * The messages to write on each socket. The sockets of one subscription share one `Outgoing`. A value sent after the
   * end of a subscription belongs to the next subscription (K8).
   */
  private readonly due = new Map<WitnessedSocket, Outgoing>();
  private readonly outgoings = new Map<SendLane, Outgoing>();
  /** The messages for one socket only, because they were passed to the own channels of a connection (C5). */
  private readonly own = new Map<WitnessedSocket, Outgoing>();
  private readonly writings = new Set<Writing>();
  private readonly prepares: boolean;
  private readonly preparing = new Set<WitnessedSocket>();
  private readonly highWaterMark: number;
  private readonly claims: Claims;
  private readonly sources = new Set<WitnessedSocket>();
  private readonly arrivals: Arrivals;
  private readonly connections = new Set<Connection<Buffer, Out>>();
  /** Numbers the connections for the log, because the ids of connections differ from run to run. */
  private attended = 0;
  private reading: Reading;
  private states: States | undefined;
  private watching: Subscription = Subscription.EMPTY;
  private active = false;
  private begun = false;
  private stopped = false;
  /** Whether the current reader joined after the previous reader had been notified of the end. */
  private isReadAgain = false;
  private lastNumber = -1;
  private readonly order: MessageOrder;
  private readonly ends: number;

  constructor(world: World, id: number) {
    this.world = world;
    this.id = id;
    this.name = `client ${id}`;
    const { dice, gentle } = world;
    const overflow = gentle ? 'error' : dice.pick(['error', 'error', 'drop']);
    const whileDisconnected = gentle ? 'buffer' : dice.pick(['buffer', 'buffer', 'buffer', 'drop', 'error']);
    this.lossy = overflow === 'drop' || whileDisconnected === 'drop';
    this.maxBuffered = gentle ? 2 ** 26 : dice.pick([2 ** 20, 2 ** 20, dice.magnitude(500, 200_000)]);
    this.policy = dice.chance(0.75) ? drawPolicy(world) : undefined;
    this.watches = dice.chance(0.8);
    this.prepares = dice.chance(0.3);
    this.highWaterMark = dice.pick([65_536, dice.magnitude(1, 2_000), dice.magnitude(1, 200_000)]);
    this.ends = gentle ? 0 : dice.pick([0, 0, 0.1, 0.3]);
    const options: ConnectOptions<Buffer, Out> = {
      codec,
      overflow,
      whileDisconnected,
      maxBuffered: this.maxBuffered,
      highWaterMark: this.highWaterMark,
      halfOpen: dice.chance(0.3),
      closeTimeout: dice.pick([5_000, 100]),
      connectTimeout: gentle ? 0 : dice.pick([10_000, 500]),
      halfOpenTimeout: gentle ? 0 : dice.pick([60_000, 1_000]),
      claimTimeout: gentle ? 0 : dice.pick([30_000, 1_000]),
      idleTimeout: gentle ? 0 : dice.pick([0, 0, 0, 2_000]),
      transport: world.transport({
        dialled: (socket) => {
          if (!this.active) this.wrong('K7', 'still has a connection without a subscriber');
          this.sockets.push(socket);
          this.claims.add(socket);
          this.due.set(socket, this.outgoing);
          this.own.set(socket, new Outgoing(world, 'own', id, this.lossy, () => ++this.lastNumber));
          if (this.prepares) this.preparing.add(socket);
          else this.arrivals.add(socket);
        },
        wrote: (socket, message) => {
          if (message.kind === 'client' && this.preparing.has(socket)) {
            this.wrong('K18', `wrote ${shownMessage(message)} before the connection was prepared`);
          }
          (message.kind === 'own' ? this.own : this.due).get(socket)?.wrote(this.name, message);
        },
        tore: (socket, kind) => {
          (kind === 'own' ? this.own : this.due).get(socket)?.tore();
        },
      }),
      ...(this.policy === undefined ? {} : { reconnect: backoff(this.policy) }),
      ...(this.prepares ? { prepare: (connection) => this.prepare(connection) } : {}),
    };
    this.steady = [options.idleTimeout, options.halfOpenTimeout, options.claimTimeout].every(
      (time) => time !== 1_000 && time !== 2_000,
    );
    this.claims = new Claims(options.claimTimeout ?? 0, world.ends.open);
    this.client = connect(world.address, options);
    this.order = new MessageOrder(
      id,
      () => world.host.isLossy,
      (rule, what) => this.wrong(rule, what),
    );
    this.arrivals = new Arrivals(world, `${this.name}'s reading`);
    this.reading = this.newReading();
    const draft = (padding: number): Draft => this.draft(padding);
    this.writing = new Writing(world, this.name, this.client.data, draft, this.highWaterMark);
    world.disturb(dice.magnitude(1, 100), () => this.begin());
    if (dice.chance(0.8)) world.disturb(dice.magnitude(1, 200), () => this.writing.start());
  }

  /** The status of the connection, or `'over'`. */
  get status(): string {
    return this.active ? (this.states?.last?.status ?? 'unknown') : 'over';
  }

  /** Whether the client dials again and again until it is stopped. */
  get isEager(): boolean {
    return this.active && this.steady && this.policy?.attempts === Infinity;
  }

  get isGone(): boolean {
    return !this.active;
  }

  get written(): number {
    return this.sockets.reduce((sum, { messages }) => sum + messages.length, 0);
  }

  /** Returns the socket whose first message is the given message. Returns each socket only once. */
  takeSource({ kind, number }: Message): WitnessedSocket | undefined {
    const source = this.sockets.find((socket) => {
      const [first] = socket.messages;
      return first?.number === number && first.kind === kind && !this.sources.has(socket);
    });
    if (source !== undefined) this.sources.add(source);
    return source;
  }

  check(): void {
    this.claims.check(this.arrivals.closed);
    const { data } = this.client;
    const most = this.maxBuffered + this.world.largestSent;
    if (data.bufferedBytes > most) {
      this.world.findings.wrong('C4', `${this.name} buffers ${data.bufferedBytes} bytes, of ${most} at most`);
    }
  }

  calm(): void {
    if (this.active) this.reading.calm();
    else this.reading.letGo();
  }

  stop(): void {
    const { dice, gentle } = this.world;
    this.stopped = true;
    // Values sent after the end wait for a connection that never comes, until this error rejects each `send`.
    this.world.after(20_000, () => this.client.data.error(new Error('the end')));
    if (this.active && this.reading.hangs) this.arrivals.checkAllSeen();
    this.writing.stop();
    for (const writing of this.writings) writing.stop();
    if (!this.begun) this.begin();
    if (gentle ? !this.world.host.endsFirst : dice.chance(0.5)) this.client.data.complete();
    if (gentle) {
      this.world.after(5_000, () => {
        this.leave();
        // With `halfOpen`, the sending side is still open after the end of the input (C7).
        this.client.data.complete();
      });
      return;
    }
    if (dice.chance(0.2)) {
      this.closesNewest();
      this.client.data.error(new Error('the end'));
    }
    this.leave();
  }

  checkEnd(): void {
    const { findings } = this.world;
    if (this.connections.size > 0) findings.wrong('C12', `${this.name} has ${this.connections.size} connections left`);
    if (this.reading.hangs) findings.wrong('C8', `${this.name}'s reading never got the end`);
    const left = [...new Set(this.due.values())].reduce((sum, outgoing) => sum + outgoing.left, 0);
    if (this.world.gentle && !this.world.host.endsFirst && left > 0)
      findings.wrong('C2', `${this.name} has not written ${left} messages`);
  }

  private begin(): void {
    if (this.active) return;
    this.active = true;
    this.arrivals.begin();
    this.begun = true;
    const { dice } = this.world;
    this.world.findings.note(() => `${this.name} begins`);
    if (!this.reading.hangs) this.reading = this.newReading();
    this.isReadAgain = false;
    if (this.watches) this.watch();
    const late = this.watches && !this.world.calmed.value && dice.chance(0.3) ? dice.magnitude(1, 2_000) : 0;
    const { reading } = this;
    if (late === 0) reading.start();
    else
      this.world.disturb(late, () => {
        if (this.active && this.reading === reading) reading.start();
      });
    if (this.ends > 0) this.world.disturb(dice.magnitude(10, 5_000), () => this.disturb());
  }

  private watch(): void {
    const states = new States(this.world, this.name, this.policy);
    this.states = states;
    const over = (how: string): void => {
      states.end(how);
      this.reading.abandon();
      // A reader that joined after the end waits for the next connection, and would make the client dial (K8).
      if (this.isReadAgain) this.reading.stop();
      this.over();
    };
    this.watching = this.client.subscribe({
      next: (state) => {
        states.next(state);
        if (state.status === 'connected') this.attend(state.connection);
      },
      error: (error: unknown) => {
        over(this.world.failed(this.name, error));
      },
      complete: () => {
        over('complete');
      },
    });
  }

  /** Unsubscribes all subscribers of the client, in one call. */
  private leave(): void {
    if (!this.active) return;
    this.world.findings.note(() => `${this.name} leaves`);
    this.closesNewest();
    this.watching.unsubscribe();
    this.reading.stop();
    this.over();
  }

  /** Call when a subscription to the client has ended, for any reason. A later subscription is independent. */
  private over(): void {
    if (!this.active) return;
    this.active = false;
    const { dice, calmed } = this.world;
    if (!calmed.value && dice.chance(0.7)) this.world.disturb(dice.magnitude(1, 2_000), () => this.begin());
  }

  private disturb(): void {
    if (!this.active) return;
    const { dice } = this.world;
    const [connection] = this.connections;
    switch (dice.int(0, 6)) {
      case 0:
        this.client.data.complete();
        break;
      case 1:
        this.closesNewest();
        this.client.data.error(new Error('a whim'));
        break;
      case 2:
        this.closes(connection);
        connection?.destroy(new Error('a whim'));
        break;
      case 3:
        this.closes(connection);
        void connection?.close();
        break;
      case 4:
        connection?.data.complete();
        break;
      default:
        this.leave();
    }
    if (this.active) this.world.disturb(dice.magnitude(10, 5_000), () => this.disturb());
  }

  /** From now on, unread messages of the connection may be discarded (C11). */
  private closes(connection: Connection<Buffer, Out> | undefined): void {
    const socket = connection === undefined ? undefined : this.socketOf(connection);
    if (socket !== undefined) this.arrivals.closed.add(socket);
  }

  /** Call when the client closes or aborts the open connection. Unread messages may then be discarded (K8). */
  private closesNewest(): void {
    const newest = this.sockets.at(-1);
    if (newest !== undefined && this.world.ends.open.has(newest)) this.arrivals.closed.add(newest);
  }

  /** Prepares a connection like a login: sends a message, then possibly waits for an answer or a time, or fails. */
  private prepare(connection: Connection<Buffer, Out>): ObservableInput<unknown> | void {
    const { world } = this;
    const { dice, gentle } = world;
    const socket = this.socketOf(connection);
    const draft = this.ownDraft(connection);
    let taken = 0;
    const prepared = (): void => {
      // If `prepare` completes only because the connection has failed, the connection was not prepared.
      const isLost = (connection as unknown as Pick<SocketConnection<Buffer, Out>, 'hasFailed'>).hasFailed;
      if (socket === undefined || isLost || !this.preparing.delete(socket)) return;
      this.arrivals.add(socket, taken);
    };
    connection.data.next(draft(dice.int(0, 100)));
    switch (dice.int(0, gentle ? 3 : 8)) {
      case 0:
        prepared();
        return;
      case 1:
        return from(connection.data.send(draft(dice.int(0, 1_000)))).pipe(tap({ complete: prepared }));
      case 2:
        return timer(dice.magnitude(1, 300)).pipe(tap({ complete: prepared }));
      case 3:
        return connection.data.sendFrom([draft(10), draft(1_000)]).pipe(tap({ complete: prepared }));
      case 4:
      case 5:
        if (socket !== undefined) this.claims.beginPreparing(socket);
        return connection.data.pipe(
          take(dice.int(1, 2)),
          finalize(() => {
            if (socket !== undefined) this.claims.endPreparing(socket);
          }),
          tap({
            next: (bytes) => {
              const message = decodeMessage(bytes);
              const due = socket?.arrived[taken++];
              this.order.skip(message);
              if (due?.number !== message.number || due.kind !== message.kind) {
                this.wrong('K18', `was given ${shownMessage(message)} where another had arrived`);
              }
            },
            complete: prepared,
          }),
        );
      case 6:
        throw new Error('a fault');
      case 7:
        return timer(dice.magnitude(1, 300)).pipe(mergeMap(() => throwError(() => new Error('a fault'))));
      default:
        connection.destroy();
        return timer(1).pipe(tap({ complete: prepared }));
    }
  }

  private socketOf(connection: Connection<Buffer, Out>): WitnessedSocket | undefined {
    return this.world.ends.near.get(formatAddress(connection.local));
  }

  /** Returns a function that makes messages for one connection only. */
  private ownDraft(connection: Connection<Buffer, Out>): (padding: number) => Draft {
    const socket = this.socketOf(connection);
    const outgoing = socket === undefined ? undefined : this.own.get(socket);
    if (outgoing === undefined) throw new Error('a connection without a socket');
    return (padding) => outgoing.draft(padding);
  }

  private attend(connection: Connection<Buffer, Out>): void {
    this.connections.add(connection);
    const { dice } = this.world;
    if (dice.chance(0.25)) {
      const name = `${this.name}'s connection ${++this.attended}`;
      const writing = new Writing(this.world, name, connection.data, this.ownDraft(connection), this.highWaterMark);
      this.writings.add(writing);
      writing.start();
    }
    let told = 0;
    connection.closed.subscribe({
      next: ({ reason, error }) => {
        if (++told > 1) this.wrong('C12', `got the end of connection ${connection.id} ${told} times`);
        if ((reason === 'finished') !== (error === undefined))
          this.wrong('C12', `${reason}, with ${error?.code ?? 'nothing'}`);
        if (error !== undefined) this.world.failed(`${this.name}'s connection`, error);
        this.world.count(reason);
      },
      error: (error: unknown) => {
        this.wrong('C12', `closed failed: ${String(error)}`);
      },
      complete: () => {
        if (told !== 1) this.wrong('C12', 'closed completed without a value');
        this.connections.delete(connection);
      },
    });
  }

  private see(message: Message): void {
    this.received++;
    this.arrivals.see(message);
    this.order.see(message);
  }

  /** The queue for a value that is sent now. Encoding a message determines its number and its place in the queue. */
  private get outgoing(): Outgoing {
    const { lane } = this.client.data[host];
    const outgoing =
      this.outgoings.get(lane) ?? new Outgoing(this.world, 'client', this.id, this.lossy, () => ++this.lastNumber);
    this.outgoings.set(lane, outgoing);
    return outgoing;
  }

  private draft(padding: number): Draft {
    let made: Draft | undefined;
    return {
      make: () => {
        made = this.outgoing.draft(padding);
        return made.make();
      },
      get waits() {
        return made?.waits === true;
      },
    };
  }

  /**
   * Reads again after a reader was notified of an end, possibly the end of an earlier connection. While the current
   * connection closes or is half-open, the new reader waits for the next connection.
   */
  private readAgain(): void {
    const { dice, gentle } = this.world;
    if (gentle || dice.chance(0.8)) {
      this.world.after(dice.int(0, 50), () => {
        if (!this.active || this.stopped || this.reading.hangs) return;
        this.reading = this.newReading();
        this.reading.start();
        this.isReadAgain = true;
      });
    }
  }

  private newReading(): Reading {
    const { world } = this;
    const manner: Manner = world.dice.pick(
      !this.watches
        ? ['steady', 'paced']
        : world.gentle
          ? ['steady', 'loose', 'paced']
          : ['steady', 'loose', 'loose', 'paced', 'iterating', 'single'],
    );
    const reading: Reading = new Reading(
      world,
      `${this.name}'s reading`,
      this.client.data,
      manner,
      (message) => this.see(message),
      () => {
        this.arrivals.end();
        // If nothing watches the states, only the end of the reader shows that the subscription has ended.
        if (!this.watches) this.over();
        else this.readAgain();
      },
    );
    this.claims.addReading(reading);
    return reading;
  }

  private wrong(rule: string, what: string): void {
    this.world.findings.wrong(rule, `${this.name} ${what}`);
  }
}
