/**
 * A producer that could send gigabytes per second, and a consumer that needs a millisecond for each message. The
 * producer has to wait for the consumer, so little data is buffered.
 *
 *     npx tsx --conditions=rxjs-sockets-source examples/slow-consumer.ts
 */
import { setTimeout as delay } from 'node:timers/promises';
import { firstValueFrom, lastValueFrom } from 'rxjs';
import { concatMapPaced, connect, listen } from 'rxjs-sockets';
import { lengthPrefixed } from 'rxjs-sockets/codecs';

const total = 2_000;
const size = 65_536;
const mebibyte = 1_048_576;
const before = process.memoryUsage.rss();

let produced = 0;
let consumed = 0;
let furthest = 0;
let peak = before;

// #region producer
async function* produce(): AsyncGenerator<Buffer> {
  while (produced < total) {
    const message = Buffer.alloc(size);
    message.writeUInt32BE(produced++);
    yield message;
  }
}

const server = listen({ port: 0 }, { codec: lengthPrefixed() });
server.subscribe(({ data }) => data.sendFrom(produce()).subscribe(data));
// #endregion

// #region consumer
async function consume(message: Buffer): Promise<void> {
  if (message.readUInt32BE() !== consumed) throw new Error(`message ${consumed} is missing`);
  await delay(1);
  consumed++;
  observe();
}

const client = connect(await firstValueFrom(server.listening), { codec: lengthPrefixed() });
const done = client.data.pipe(concatMapPaced(consume));
// #endregion

function observe(): void {
  const ahead = (produced - consumed) * size;
  furthest = Math.max(furthest, ahead);
  peak = Math.max(peak, process.memoryUsage.rss());
  if (consumed % (total / 10) !== 0) return;
  console.log(
    `consumed ${String(consumed).padStart(4)}, produced ${String(produced).padStart(4)}: ` +
      `${inMebibytes(ahead)} MiB ahead, ${inMebibytes(process.memoryUsage.rss())} MiB resident`,
  );
}

function inMebibytes(bytes: number): string {
  return (bytes / mebibyte).toFixed(1).padStart(5);
}

await lastValueFrom(done, { defaultValue: undefined });
await server.shutdown();

console.log(
  `${total} messages, ${inMebibytes(total * size).trim()} MiB in all, arrived in order; the producer was at most ` +
    `${inMebibytes(furthest).trim()} MiB ahead, and memory grew by ${inMebibytes(peak - before).trim()} MiB`,
);
if (consumed !== total) throw new Error(`only ${consumed} messages of ${total} have arrived`);
