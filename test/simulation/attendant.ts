import {
  concat,
  defer,
  EMPTY,
  map,
  mergeMap,
  type Observable,
  type ObservableInput,
  type Subscription,
  tap,
  throwError,
  timer,
} from 'rxjs';
import { type Closed, type Connection, type Flow, formatAddress } from 'rxjs-sockets';
import { Delay } from './delay.js';
import type { Host } from './host.js';
import { decodeMessage, type Draft, type Message, shownMessage } from './message.js';
import { Outgoing } from './outgoing.js';
import { type Manner, Reading } from './reading.js';
import type { WitnessedSocket } from './witness.js';
import type { World } from './world.js';
import { Writing } from './writing.js';

type Out = Buffer | Draft;

/** Serves one connection of the host, and checks the messages of this connection. */
export class Attendant {
  readonly number: number;
  readonly connection: Connection<Buffer, Out>;
  readonly outgoing: Outgoing;
  received = 0;
  written = 0;
  /** The error code that the failure of the handler must cause. */
  fault: string | undefined;
  outcome: Closed | undefined;

  private readonly world: World;
  private readonly host: Host;
  private readonly name: string;
  private reading: Reading | undefined;
  private writing: Writing | undefined;
  private echo: Subscription | undefined;
  /** The numbers of the received messages that this side must send back. */
  private readonly echoes: number[] = [];
  /** The client's socket. Undefined until the first message of the client has arrived. */
  private source: WitnessedSocket | undefined;
  private ended = 0;
  /** The total size of the received frames, in bytes. */
  private consumed = 0;
  private writable = false;
  /** Whether this side has begun to close, so that the rest of the input may be discarded (C11). */
  private closing = false;
  /** Whether the output of the handler has completed. */
  private finishing = false;
  private readonly idling = new Delay();
  private readonly unfinished = new Delay();

  constructor(world: World, host: Host, number: number, connection: Connection<Buffer, Out>) {
    this.world = world;
    this.host = host;
    this.number = number;
    this.connection = connection;
    this.name = `connection ${number} of the host`;
    let last = -1;
    this.outgoing = new Outgoing(world, 'server', number, host.isLossy, () => ++last);
    world.findings.note(() => `${this.name} is ${formatAddress(connection.remote)}`);
    connection.closed.subscribe({
      next: (outcome) => {
        this.outcome = outcome;
        if (++this.ended > 1) this.wrong('C12', `ended ${this.ended} times`);
        this.checkOutcome(outcome);
      },
      error: (error: unknown) => {
        this.wrong('C12', `closed failed: ${String(error)}`);
      },
      complete: () => {
        if (this.ended !== 1) this.wrong('C12', 'closed completed without a value');
        host.left(this);
      },
    });
    connection.data.writable.subscribe({
      next: (writable) => {
        this.writable = writable;
        this.idling.begin();
      },
      error: (error: unknown) => {
        this.wrong('C5', `writable failed: ${String(error)}`);
      },
    });
    if (world.dice.chance(0.4)) world.publication.join(this);
  }

  attend(): void {
    const { world, connection } = this;
    const { dice, gentle } = world;
    if (dice.chance(0.2)) {
      this.echo = this.echoed().subscribe(connection.data);
      if (dice.chance(0.3)) {
        world.disturb(dice.magnitude(1, 2_000), () => {
          // A later reader gets what the echo has not taken.
          this.echo?.unsubscribe();
          if (this.outcome === undefined) this.read();
        });
      }
    } else {
      if (gentle || dice.chance(0.9)) this.read();
      if (dice.chance(0.6)) this.write();
    }
    if (!gentle && dice.chance(0.3)) world.disturb(dice.magnitude(1, 5_000), () => this.disturb());
  }

  /** A handler for `serve`. */
  handle(): ObservableInput<Out> | void {
    const { world, connection, outgoing } = this;
    const { dice, gentle } = world;
    const drafts = (): Draft[] =>
      Array.from({ length: dice.magnitude(1, 30) }, () => outgoing.draft(dice.int(0, 2_000)));
    const seen = connection.data.pipe(tap((bytes) => this.see(decodeMessage(bytes))));
    const fault = new Error('a fault');
    const failing = (): Observable<never> => {
      if (!connection.data.closed) this.fault = 'ERR_HANDLER';
      return throwError(() => fault);
    };
    const finishing = (): Observable<never> => {
      this.finishing = true;
      return EMPTY;
    };
    switch (dice.int(0, gentle ? 2 : 8)) {
      case 0:
        return this.echoed();
      case 1:
        return seen.pipe(map(() => outgoing.draft(dice.int(0, 200))));
      case 2:
        this.attend();
        return;
      case 3:
        this.fault = 'ERR_HANDLER';
        throw fault;
      case 4:
        return concat(drafts(), defer(failing));
      case 5:
        return timer(dice.magnitude(1, 1_000)).pipe(mergeMap(failing));
      case 6:
        return concat(drafts(), defer(finishing));
      case 7:
        return this.replies();
      default:
        return Promise.resolve(outgoing.draft(5));
    }
  }

  calm(): void {
    this.reading?.calm();
  }

  stop(): void {
    this.writing?.stop();
    this.reading?.stop();
    this.echo?.unsubscribe();
    this.connection.destroy();
  }

  /** Call when this side begins to close. Later input may be discarded. */
  closes(): void {
    this.closing = true;
  }

  check(): void {
    const { connection, world, host } = this;
    const { data } = connection;
    const largest = Math.max(this.outgoing.largest, world.publication.largest, world.largestSent);
    const most = host.maxBuffered + largest;
    const { bufferedBytes } = data;
    if (bufferedBytes > most) this.wrong('C4', `buffers ${bufferedBytes} bytes, of ${most} at most`);
    // The transport reports a write only when it has taken all bytes of the write, so the channel is sometimes late to
    // become writable.
    const mark = Math.min(host.highWaterMark, host.maxBuffered);
    if (this.writable && (data.closed || bufferedBytes > mark)) {
      this.wrong('C5', `is writable with ${bufferedBytes} bytes, closed: ${data.closed}`);
    }
    if (this.idling.lasts(!this.writable && !data.closed && bufferedBytes === 0))
      this.wrong('C5', 'is not writable with 0 bytes');
    if (this.unfinished.lasts(this.finishing && bufferedBytes === 0 && !data.closed)) {
      this.wrong('S6', 'was not completed with its handler');
    }
    if (this.reading === undefined || this.closing || data.closed) return;
    const waiting = connection.stats.bytesRead - this.consumed;
    const bound = 2 * 65_536 + world.largestSent;
    if (waiting > bound) this.wrong('F3', `has ${waiting} bytes waiting, of ${bound} at most`);
  }

  /** Asserts that a reader that is never slow has received all messages that have arrived. */
  checkAllSeen(): void {
    if (this.reading?.hangs !== true || this.closing) return;
    const far = this.world.ends.far.get(formatAddress(this.connection.remote));
    const left = (far?.arrived.length ?? 0) - this.received;
    if (left > 0) this.wrong('F1', `was not given ${left} messages that have arrived`);
  }

  checkEnd(): void {
    const { reading, source, world } = this;
    if (this.ended !== 1) this.wrong('C12', `ended ${this.ended} times`);
    if (reading?.hangs === true) this.wrong('C8', "'s reader never got the end");
    if (reading?.ended === 'complete' && source !== undefined && !this.closing && !world.cuts) {
      if (!source.ended) this.wrong('C7', 'got a FIN that was never sent');
      if (this.received < source.messages.length) {
        this.wrong('C7', `was given ${this.received} of ${source.messages.length} messages before the FIN`);
      }
    }
  }

  /** Call when a message of this side was written. */
  wrote(message: Message): void {
    this.written++;
    switch (message.kind) {
      case 'server':
      case 'broadcast':
        this.outgoing.wrote(this.name, message);
        break;
      case 'client':
      case 'own':
        this.checkEcho(message);
        break;
    }
  }

  private read(): void {
    const { dice, gentle } = this.world;
    const manner: Manner = dice.pick(['steady', 'loose', 'loose', 'paced', 'iterating', 'single']);
    this.reading = new Reading(
      this.world,
      `${this.name}'s reading`,
      this.connection.data,
      manner,
      (message) => this.see(message),
      () => {
        // A half-open connection ends only when both sides have ended, so this side also ends.
        if (gentle || dice.chance(0.7)) this.connection.data.complete();
      },
    );
    if (dice.chance(0.8) || this.world.calmed.value) this.reading.start();
    else this.world.disturb(dice.magnitude(1, 3_000), () => this.reading?.start());
  }

  private write(): void {
    const draft = (padding: number): Draft => this.outgoing.draft(padding);
    this.writing = new Writing(this.world, this.name, this.connection.data, draft, this.host.highWaterMark);
    this.writing.start();
  }

  private disturb(): void {
    const { dice } = this.world;
    switch (dice.int(0, 3)) {
      case 0:
        this.connection.destroy();
        break;
      case 1:
        this.closing = true;
        this.world.expectSettled(`the close of ${this.name}`, this.connection.close());
        break;
      case 2:
        this.connection.data.error(new Error('a whim'));
        break;
      default:
        this.connection.data.complete();
    }
  }

  private async *replies(): AsyncGenerator<Draft> {
    for await (const bytes of this.connection.data) {
      this.see(decodeMessage(bytes));
      yield this.outgoing.draft(10);
    }
  }

  /** Asserts that the messages of one socket are received, each once, beginning with its first message (C1). */
  private see(message: Message): void {
    const client = this.world.clients[message.source - 1];
    if ((message.kind !== 'client' && message.kind !== 'own') || client === undefined) {
      this.wrong('C1', `was given ${shownMessage(message)}`);
      return;
    }
    this.source ??= client.takeSource(message);
    if (this.source === undefined) {
      this.wrong('C1', `begins with ${shownMessage(message)}, with which no socket of that client does`);
      return;
    }
    const due = this.source.messages[this.received++];
    this.consumed += message.size;
    if (
      due?.number !== message.number ||
      due.kind !== message.kind ||
      due.source !== message.source ||
      due.size !== message.size
    ) {
      this.wrong(
        'C1',
        `was given ${shownMessage(message)}, and not ${due === undefined ? 'nothing' : shownMessage(due)}`,
      );
    }
  }

  /** The received messages, as a Flow whose values are sent back. */
  private echoed(): Flow<Buffer> {
    return this.connection.data.pipe(
      tap((bytes) => {
        const message = decodeMessage(bytes);
        this.see(message);
        this.echoes.push(message.number);
      }),
    );
  }

  /** Asserts that received messages are sent back in order. The channel may drop some of the messages. */
  private checkEcho(message: Message): void {
    let due = this.echoes.shift();
    while (this.host.isLossy && due !== undefined && due !== message.number) due = this.echoes.shift();
    if (due !== message.number) this.wrong('F7', `sent ${shownMessage(message)} back, and not ${due ?? 'nothing'}`);
  }

  private checkOutcome({ reason, error, bytesRead, bytesWritten }: Closed): void {
    const { stats } = this.connection;
    if ((reason === 'finished') !== (error === undefined))
      this.wrong('C12', `${reason}, with ${error?.code ?? 'nothing'}`);
    if (stats.bytesRead !== bytesRead || stats.bytesWritten !== bytesWritten) this.wrong('C12', 'counts other bytes');
    if (error !== undefined) this.world.failed(this.name, error);
    if (reason === 'failed' && error !== undefined && !this.host.incidents.has(error)) {
      this.wrong('S4', `failed with ${error.code}, which no incident tells`);
    }
    if (this.fault !== undefined && error?.code !== this.fault)
      this.wrong('S6', `${reason}, although its handler threw`);
    this.world.count(reason);
  }

  private wrong(rule: string, what: string): void {
    this.world.findings.wrong(rule, `${this.name} ${what}`);
  }
}
