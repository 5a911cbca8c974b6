import { setTimeout as delay } from 'node:timers/promises';
import { EMPTY, firstValueFrom, lastValueFrom, type Observable, timer } from 'rxjs';
import { type Channel, concatMapPaced, connect, listen } from 'rxjs-sockets';
import { lengthPrefixed } from 'rxjs-sockets/codecs';
import { type Checks, mebibytes, number, peakMemory } from './checks.js';
import type { Screen } from './screen.js';

const size = 32_768;
const maxBuffered = 1_048_576;
/** What may wait in a channel (C4): `maxBuffered` and one message with its length. */
const bound = maxBuffered + size + 4;
/** More than what two sockets and the garbage between two collections need, however much is sent. */
const mostMemory = 128 * 1_048_576;

/** A producer that never waits by itself, and a consumer that is fast, slow, away for a while, and fast again. */
export async function slowConsumer(screen: Screen, checks: Checks): Promise<void> {
  screen.heading('2. A fast producer, and a consumer that is fast, slow, and away');
  screen.line('  The producer sends whenever it can. It can when the consumer has taken what was sent before.');
  const server = listen({ port: 0 }, { codec: lengthPrefixed(), maxBuffered });
  const producer = new Producer();
  server.subscribe(({ data }) => {
    producer.feed(data);
  });
  const { data } = connect(await firstValueFrom(server.listening), { codec: lengthPrefixed() });
  const consumer = new Consumer();
  const end = lastValueFrom(data.pipe(concatMapPaced((message) => consumer.take(message))), {
    defaultValue: undefined,
  });

  const before = process.memoryUsage.rss();
  const view = new View(screen, producer, consumer);
  view.show('fast');
  await delay(1_500);
  view.show('slow');
  consumer.pause = 1;
  await delay(2_500);
  view.show('away');
  const hold = data.hold();
  await delay(2_000);
  hold.release();
  view.show('fast');
  consumer.pause = 0;
  await delay(1_500);
  producer.stop();
  await end;
  view.close();
  await server.shutdown();

  checks.sent += producer.sent;
  checks.inOrder += consumer.inOrder;
  checks.that(
    `${number(producer.sent)} messages, ${mebibytes(producer.sent * size)}, reached the consumer in order`,
    consumer.inOrder === producer.sent && consumer.received === producer.sent,
  );
  checks.that(
    `never more than ${mebibytes(producer.mostBuffered)} of them waited in the channel; the bound is ${mebibytes(bound)}`,
    producer.mostBuffered <= bound,
  );
  const growth = peakMemory() - before;
  checks.that(
    `memory grew by ${mebibytes(growth)} meanwhile; the bound is ${mebibytes(mostMemory)}`,
    growth <= mostMemory,
  );
}

/** Has a message ready whenever it is asked for one, which happens when the channel can take it. */
class Producer {
  sent = 0;
  mostBuffered = 0;
  private channel: Channel<Buffer, Uint8Array | string> | undefined;
  private stopped = false;

  get buffered(): number {
    return this.channel?.bufferedBytes ?? 0;
  }

  feed(channel: Channel<Buffer, Uint8Array | string>): void {
    this.channel = channel;
    channel.sendFrom(this.messages()).subscribe(channel);
  }

  stop(): void {
    this.stopped = true;
  }

  private async *messages(): AsyncGenerator<Buffer> {
    while (!this.stopped) {
      const message = Buffer.alloc(size);
      message.writeUInt32BE(this.sent++);
      yield message;
      this.mostBuffered = Math.max(this.mostBuffered, this.buffered);
    }
  }
}

class Consumer {
  received = 0;
  inOrder = 0;
  /** How long it takes for a message, in ms. */
  pause = 0;

  take(message: Buffer): Observable<unknown> {
    if (message.readUInt32BE() === this.received++) this.inOrder++;
    return this.pause === 0 ? EMPTY : timer(this.pause);
  }
}

/** Shows the rate, what waits and the memory, for as long as it is open. */
class View {
  private readonly screen: Screen;
  private readonly producer: Producer;
  private readonly consumer: Consumer;
  private readonly ticks: NodeJS.Timeout;
  private label = '';
  private seen = 0;
  private since = performance.now();

  constructor(screen: Screen, producer: Producer, consumer: Consumer) {
    this.screen = screen;
    this.producer = producer;
    this.consumer = consumer;
    this.ticks = setInterval(() => {
      this.update();
    }, screen.interval);
  }

  show(label: string): void {
    this.screen.keep();
    this.label = label;
  }

  close(): void {
    clearInterval(this.ticks);
    this.update();
  }

  private update(): void {
    const { screen, producer, consumer } = this;
    const now = performance.now();
    const rate = ((consumer.received - this.seen) * size * 1_000) / (now - this.since);
    this.seen = consumer.received;
    this.since = now;
    const resident = process.memoryUsage.rss();
    const ahead = (producer.sent - consumer.received) * size;
    screen.status(
      `  ${this.label} ${screen.bar(Math.sqrt(rate / 2 ** 30), 8)}${mebibytes(rate).padStart(11)}/s` +
        `  resident ${screen.bar(resident / 2 ** 29, 8)}${mebibytes(resident).padStart(9)}` +
        `  buffered ${mebibytes(producer.buffered)}  ahead ${mebibytes(ahead)}`,
    );
  }
}
