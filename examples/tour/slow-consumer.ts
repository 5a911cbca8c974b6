import { setTimeout as delay } from 'node:timers/promises';
import { EMPTY, firstValueFrom, lastValueFrom, type Observable, Subject, timer } from 'rxjs';
import { type Channel, concatMapPaced, connect, listen } from 'rxjs-sockets';
import { lengthPrefixed } from 'rxjs-sockets/codecs';
import { type Checks, type Claim, kibibytes, mebibytes, number } from './checks.js';
import type { Screen } from './screen.js';

const size = 32_768;
/** The number of messages in each fast phase (`many`), and in the slow phase (`few`). */
const many = 20_000;
const few = 200;
const total = many + few + many;
const highWaterMark = 65_536;
/**
 * The most bytes that `sendFrom` can queue in a channel: the high-water mark, and one message with its length prefix.
 */
const bound = highWaterMark + size + 4;
/**
 * The maximum growth of memory: a tenth of all the data. The two sockets and uncollected garbage need less than this
 * maximum.
 */
const mostMemory = 128 * 1_048_576;

interface Phase {
  readonly label: string;
  readonly taken: number;
  readonly milliseconds: number;
  /**
   * `buffered` is the most bytes that were queued in the producer's channel. `ahead` is the most bytes that were sent
   * but not yet consumed.
   */
  readonly buffered: number;
  readonly ahead: number;
}

interface Consumption {
  readonly sent: number;
  readonly received: number;
  readonly inOrder: number;
  readonly phases: readonly Phase[];
  readonly held: Phase;
  /**
   * Whether the producer was still waiting a second after it had begun to wait, while the consumer held its channel.
   */
  readonly waited: boolean;
  /** How much the resident memory of this process has grown, in bytes. */
  readonly growth: number;
}

export function consumptionClaims(consumption: Consumption): Claim[] {
  const { sent, received, inOrder, phases, held, waited, growth } = consumption;
  const buffered = Math.max(...phases.map((phase) => phase.buffered));
  return [
    [
      `${number(sent)} messages (${mebibytes(sent * size)}) reached the consumer, once and in order`,
      sent === total && received === sent && inOrder === sent,
    ],
    [
      `never more than ${kibibytes(buffered)} were buffered; the bound is ${kibibytes(bound)}`,
      buffered > 0 && buffered <= bound,
    ],
    [
      `held, the consumer took nothing, and the producer stopped, ${mebibytes(held.ahead)} ahead`,
      held.taken === 0 && waited,
    ],
    [
      `in the meantime, this process grew by ${mebibytes(growth)}; the bound is ${mebibytes(mostMemory)}`,
      growth <= mostMemory,
    ],
  ];
}

/** Runs a producer that always has data, and a consumer that is fast, then slow, then stopped, and then fast again. */
export async function slowConsumer(screen: Screen, checks: Checks): Promise<void> {
  screen.heading('2. Backpressure: a producer can send only as fast as its consumer takes');
  screen.line('   the consumer            taken            rate   buffered      ahead');
  const server = listen({ port: 0 }, { codec: lengthPrefixed(), highWaterMark });
  const producer = new Producer();
  const consumer = new Consumer();
  const meter = new Meter(screen, producer, consumer);
  producer.changed.subscribe(() => {
    meter.note();
  });
  server.subscribe(({ data }) => {
    producer.feed(data);
  });
  const { data } = connect(await firstValueFrom(server.listening), { codec: lengthPrefixed() });

  meter.begin('takes each at once', many);
  const first = consumer.take(many);
  const end = lastValueFrom(data.pipe(concatMapPaced(consumer.receive)), { defaultValue: undefined });
  await Promise.race([first, end]);
  meter.end();
  meter.begin('needs 5 ms for each', few);
  await Promise.race([consumer.take(few, 5), end]);
  meter.end();
  const hold = data.hold();
  meter.begin('holds, and takes none', Infinity);
  const last = consumer.take(many);
  await producer.waits();
  await delay(1_000);
  const waited = producer.isWaiting;
  const held = meter.end();
  meter.begin('takes at once again', many);
  hold.release();
  await Promise.race([last, end]);
  meter.end();
  consumer.leave();
  await end;
  await server.shutdown();

  screen.line("   taken: messages of 32 KiB. buffered: the most that waited in the producer's");
  screen.line('   channel. ahead: the most that was sent and not taken, also in the kernel.');
  const { sent } = producer;
  const { received, inOrder } = consumer;
  checks.sent += sent;
  checks.inOrder += inOrder;
  const { phases, growth } = meter;
  checks.that(...consumptionClaims({ sent, received, inOrder, phases, held, waited, growth }));
}

/** A source that always has a message ready. The channel pulls a message only when the channel has room. */
class Producer {
  sent = 0;
  isWaiting = false;
  private channel: Channel<Buffer, Uint8Array | string> | undefined;
  private readonly changes = new Subject<void>();

  get buffered(): number {
    return this.channel?.bufferedBytes ?? 0;
  }

  /** Emits after each message, and when the channel becomes writable or stops being writable. */
  get changed(): Observable<void> {
    return this.changes;
  }

  feed(channel: Channel<Buffer, Uint8Array | string>): void {
    this.channel = channel;
    // While the channel is not writable, the channel pulls no message, so the producer waits.
    channel.writable.subscribe((writable) => {
      this.isWaiting = !writable;
      this.changes.next();
    });
    channel.sendFrom(this.messages()).subscribe(channel);
  }

  /** Resolves when the channel has no room, or when all messages are sent. */
  async waits(): Promise<void> {
    while (!this.isWaiting && this.sent < total) await firstValueFrom(this.changes);
  }

  private *messages(): Generator<Buffer> {
    while (this.sent < total) {
      const message = Buffer.alloc(size);
      message.writeUInt32BE(this.sent++);
      yield message;
      this.changes.next();
    }
  }
}

/** Takes the requested number of messages, and then takes no message until the next request. */
class Consumer {
  received = 0;
  inOrder = 0;
  private left = 0;
  private pause = 0;
  private reached: (() => void) | undefined;
  private more = new Subject<never>();

  /**
   * Takes `count` messages, with a pause of `pause` ms between messages. Resolves when the last message has arrived.
   */
  take(count: number, pause = 0): Promise<void> {
    this.left = count;
    this.pause = pause;
    const more = this.more;
    this.more = new Subject();
    return new Promise((resolve) => {
      this.reached = resolve;
      more.complete();
    });
  }

  leave(): void {
    this.more.complete();
  }

  /** Processes a message. The next message arrives only after the returned Observable has completed. */
  readonly receive = (message: Buffer): Observable<unknown> => {
    if (message.readUInt32BE() === this.received++) this.inOrder++;
    if (--this.left > 0) return this.pause === 0 ? EMPTY : timer(this.pause);
    this.reached?.();
    return this.more;
  };
}

class Meter {
  readonly phases: Phase[] = [];
  private readonly screen: Screen;
  private readonly producer: Producer;
  private readonly consumer: Consumer;
  private readonly resident = process.memoryUsage.rss();
  private peak = this.resident;
  private label = '';
  private before = 0;
  private since = 0;
  private buffered = 0;
  private ahead = 0;

  constructor(screen: Screen, producer: Producer, consumer: Consumer) {
    this.screen = screen;
    this.producer = producer;
    this.consumer = consumer;
  }

  get growth(): number {
    return this.peak - this.resident;
  }

  begin(label: string, planned: number): void {
    this.label = label;
    this.before = this.consumer.received;
    this.since = performance.now();
    this.buffered = 0;
    this.ahead = 0;
    this.note();
    this.screen.follow(() => `${row(this.phase)}  ${this.screen.bar(this.phase.taken / planned, 6)}`);
  }

  end(): Phase {
    this.measureMemory();
    const { phase } = this;
    this.phases.push(phase);
    this.screen.line(row(phase));
    return phase;
  }

  note(): void {
    const { sent, buffered } = this.producer;
    this.buffered = Math.max(this.buffered, buffered);
    this.ahead = Math.max(this.ahead, (sent - this.consumer.received) * size);
    // Memory is not measured for each message, because a measurement takes as long as sending a message.
    if (sent % 64 === 0) this.measureMemory();
  }

  private measureMemory(): void {
    this.peak = Math.max(this.peak, process.memoryUsage.rss());
  }

  private get phase(): Phase {
    const { label, buffered, ahead } = this;
    const milliseconds = performance.now() - this.since;
    return { label, taken: this.consumer.received - this.before, milliseconds, buffered, ahead };
  }
}

function row({ label, taken, milliseconds, buffered, ahead }: Phase): string {
  const rate = `${mebibytes((taken * size * 1_000) / milliseconds)}/s`;
  const columns = [number(taken).padStart(7), rate.padStart(14), kibibytes(buffered).padStart(9)];
  return `   ${label.padEnd(22)}${columns.join('  ')}  ${mebibytes(ahead).padStart(9)}`;
}
