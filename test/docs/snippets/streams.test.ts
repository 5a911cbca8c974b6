import '../../support/leaks.js';
import { spawn } from 'node:child_process';
import { Duplex, finished } from 'node:stream';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import type { Observer } from 'rxjs';
import { type Channel, relay } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { fromNodeStream, fromWebStreams, toWebStreams, type WebStreams } from '../../../src/interop/index.js';
import { chunksOf, chunkSizes } from '../../support/bytes/arbitrary-chunks.js';
import { duplexPair } from '../../support/interop/duplex-pair.js';
import { recordingConsole } from '../../support/recording/recording-console.js';
import { tcp } from '../../support/transport/places.js';
import { acceptedAt, pairAt } from '../../support/connection/connected-pairs.js';
import { readAll } from '../../support/sockets/read-socket.js';
import { until } from '../../support/scheduling/event-loop.js';

const runs = { numRuns: 20 };
const bytes = fc.uint8Array({ minLength: 1, maxLength: 3_000 }).map((array) => Buffer.from(array));
const values = fc.array(fc.oneof(fc.string(), fc.integer()), { maxLength: 50 });

/** What a Channel and its models below (`channelOver`) have in common. */
interface Receives<T> {
  subscribe(observer: Observer<T>): unknown;
}

/** Everything that `source` emits, and how `source` ends. */
function receivedBy<T>(source: Receives<T>): Promise<{ values: T[]; ending: 'complete' | 'error' }> {
  const values: T[] = [];
  return new Promise((resolve) => {
    source.subscribe({
      next: (value) => void values.push(value),
      error: () => resolve({ values, ending: 'error' }),
      complete: () => resolve({ values, ending: 'complete' }),
    });
  });
}

describe('the examples of fromNodeStream', () => {
  it('I1: include a model that behaves like the Channel', async () => {
    const channelOver = (stream: Duplex) => ({
      subscribe: (observer: Observer<Buffer>) => {
        stream.on('data', (chunk: Buffer) => observer.next(chunk));
        finished(stream, { writable: false }, (error) => {
          if (error) observer.error(error);
          else observer.complete();
        });
      },
      hold: () => stream.pause(), // released: stream.resume()
      next: (value: Uint8Array | string) => stream.write(value),
      complete: () => stream.end(),
      error: (reason: Error) => stream.destroy(reason),
    });
    await fc.assert(
      fc.asyncProperty(bytes, bytes, chunkSizes(), fc.boolean(), async (sent, answer, sizes, fails) => {
        const outcomes = [channelOver, fromNodeStream].map(async (over) => {
          const [near, far] = duplexPair();
          const channel = over(near);
          const receiving = receivedBy<Buffer>(channel);
          for (const chunk of chunksOf(sent, sizes)) channel.next(chunk);
          channel.complete();
          const atFar = await readAll(far);
          if (fails) near.destroy(new Error('enough'));
          else far.end(answer);
          const { values, ending } = await receiving;
          return { atFar, received: Buffer.concat(values), ending };
        });
        const [model, real] = await Promise.all(outcomes);
        expect(real).toEqual(model);
        expect(real?.atFar.equals(sent)).toBe(true);
      }),
      runs,
    );
  });

  it('I1: sort lines with a child process', async () => {
    const console = recordingConsole();
    const child = spawn('sort');
    const sort = fromNodeStream(Duplex.from({ readable: child.stdout, writable: child.stdin }));
    sort.framed(lines()).subscribe((line) => console.log(line));
    sort.next('pear\napple\n');
    sort.complete();
    await until(() => console.written.length === 2);
    expect(console.written).toEqual(['apple', 'pear']);
    await until(() => child.exitCode !== null);
  });
});

describe('the examples of fromWebStreams', () => {
  it('I1: include a model that behaves like the Channel', async () => {
    const channelOver = <In, Out>(
      reader: ReadableStreamDefaultReader<In>,
      writer: WritableStreamDefaultWriter<Out>,
    ) => ({
      subscribe: async (observer: Observer<In>) => {
        try {
          for (let read = await reader.read(); !read.done; read = await reader.read()) observer.next(read.value);
          observer.complete();
        } catch (error) {
          observer.error(error);
        }
      },
      send: async (value: Out) => {
        await writer.ready;
        await writer.write(value);
      },
      complete: () => writer.close(),
      error: (reason: unknown) => Promise.all([writer.abort(reason), reader.cancel(reason)]),
    });
    await fc.assert(
      fc.asyncProperty(values, async (sent) => {
        const [first, second] = [new TransformStream<unknown, unknown>(), new TransformStream<unknown, unknown>()];
        const model = channelOver(first.readable.getReader(), first.writable.getWriter());
        const real = fromWebStreams<unknown, unknown>(second);
        const received = [receivedBy<unknown>(model), receivedBy<unknown>(real)];
        for (const channel of [model, real]) {
          for (const value of sent) await channel.send(value);
          void channel.complete();
        }
        const outcome = { values: sent, ending: 'complete' };
        expect(await Promise.all(received)).toEqual([outcome, outcome]);
      }),
      runs,
    );
  });

  it('I1: compress what a connection receives', async () => {
    const gzip: WebStreams<Uint8Array, Uint8Array> = new CompressionStream('gzip');
    expect(typeof gzip.readable.getReader).toBe('function');
    const { near: connection, raw } = await acceptedAt(tcp);
    {
      const gzip = fromWebStreams<Uint8Array, Uint8Array>(new CompressionStream('gzip'));
      relay(connection.bytes, gzip).subscribe();
    }
    raw.end('hello');
    expect(gunzipSync(await readAll(raw)).toString()).toBe('hello');
  });
});

describe('the examples of toWebStreams', () => {
  it('I1: include a model that behaves like the streams', async () => {
    function streamsOf<In, Out>(channel: Channel<In, Out>) {
      const values = channel[Symbol.asyncIterator]();
      const readable = new ReadableStream<In>(
        {
          async pull(controller) {
            const { done, value } = await values.next();
            if (done === true) controller.close();
            else controller.enqueue(value);
          },
        },
        { highWaterMark: 0 },
      );
      const writable = new WritableStream<Out>({
        write: (value) => channel.send(value),
        close: () => channel.complete(),
        abort: (reason) => channel.error(reason),
      });
      return { readable, writable };
    }
    await fc.assert(
      fc.asyncProperty(fc.array(fc.stringMatching(/^[a-z]{1,40}$/), { maxLength: 30 }), async (sent) => {
        const echoes = [streamsOf, toWebStreams].map(async (of) => {
          const { near, far } = await pairAt<string, string>(tcp, { codec: lines(), halfOpen: true });
          far.data.subscribe(far.data);
          const { readable, writable } = of<string, string>(near.data);
          const writer = writable.getWriter();
          for (const line of sent) await writer.write(line);
          await writer.close();
          const received: string[] = [];
          const reader = readable.getReader();
          for (let read = await reader.read(); !read.done; read = await reader.read()) received.push(read.value);
          return received;
        });
        expect(await Promise.all(echoes)).toEqual([sent, sent]);
      }),
      runs,
    );
  });

  it('I1: decompress what a connection receives', async () => {
    const { near: connection, raw } = await acceptedAt(tcp);
    raw.end(gzipSync('hello'));
    const { readable, writable } = toWebStreams(connection.bytes);
    await readable.pipeThrough(new DecompressionStream('gzip')).pipeTo(writable);
    expect((await readAll(raw)).toString()).toBe('hello');
  });
});
