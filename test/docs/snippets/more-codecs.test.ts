import fc from 'fast-check';
import { concatMap, firstValueFrom, lastValueFrom, ReplaySubject, take } from 'rxjs';
import * as library from 'rxjs-sockets';
import { type AddressInput, type Client, type ConnectOptions, SocketError } from 'rxjs-sockets';
import {
  type ByteQueue,
  type ByteSink,
  type Codec,
  delimited,
  type DelimitedOptions,
  fixedLength,
  jsonLines,
  type JsonLinesOptions,
  lines,
  mapCodec,
  netstring,
  type NetstringOptions,
  text,
} from 'rxjs-sockets/codecs';
import { memoryTransport } from 'rxjs-sockets/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { encodeOne } from '../../../src/testing/byte-collector.js';
import { chunksOf, chunkSizes } from '../../support/bytes/arbitrary-chunks.js';
import { receive as read, type Received } from '../../support/codecs/decode-stream.js';

/** Bytes made of `units`. Many of them contain complete messages. */
const bytesOf = (...units: string[]): fc.Arbitrary<Buffer> =>
  fc.string({ unit: fc.constantFrom(...units), maxLength: 60 }).map((text) => Buffer.from(text));

/** A codec that only decodes. */
const reading = <T>(decode: (queue: ByteQueue) => T | undefined): Codec<T, never> => ({
  decoder: () => ({ decode }),
  encoder: () => ({ encode: () => undefined }),
});

describe('the models of the other codecs', () => {
  it('D1: messages of a fixed length are decoded as by their model', () => {
    const size = 3;
    const decode = (queue: ByteQueue): Buffer | undefined => (queue.length < size ? undefined : queue.take(size));
    fc.assert(
      fc.property(bytesOf('a', 'b'), chunkSizes(), (bytes, sizes) => {
        const chunks = chunksOf(bytes, sizes);
        expect(read(fixedLength(size), chunks)).toEqual(read(reading(decode), chunks));
      }),
    );
  });

  it('D1: netstrings are decoded as by their model', () => {
    const maxLength = 12;
    function decode(queue: ByteQueue): Buffer | undefined {
      const [, digits = '', colon] = /^(0|[1-9][0-9]*|)(:?)/.exec(queue.peek(queue.length).toString('latin1')) ?? [];
      const length = Number(digits);
      const end = digits.length + 1 + length;
      if (length > maxLength) throw new SocketError('ERR_FRAME_TOO_LONG', `a message of ${length} bytes or more`);
      if (
        colon === '' ? digits.length < queue.length : digits === '' || (end < queue.length && queue.at(end) !== 0x2c)
      ) {
        throw new SocketError('ERR_FRAME_INVALID', 'no netstring');
      }
      if (colon === '' || queue.length <= end) return undefined;
      return queue.take(end + 1).subarray(digits.length + 1, end);
    }
    fc.assert(
      fc.property(
        bytesOf('0:,', '1:a,', '2:é,', '11:hello world,', '1', '3', ':', ','),
        chunkSizes(),
        (bytes, sizes) => {
          const chunks = chunksOf(bytes, sizes);
          const expected = withoutLeft(read(reading(decode), chunks));
          expect(withoutLeft(read(netstring({ maxLength }), chunks))).toEqual(expected);
        },
      ),
    );
  });

  it.each(['--', '|'])('D1: delimited messages are decoded as by their model: %s', (text) => {
    const delimiter = Buffer.from(text);
    const maxLength = 5;
    function decode(queue: ByteQueue): Buffer | undefined {
      const end = queue.indexOf(delimiter);
      if ((end === -1 ? queue.length - delimiter.length : end) > maxLength) {
        throw new SocketError('ERR_FRAME_TOO_LONG', 'a long message');
      }
      return end === -1 ? undefined : queue.take(end + delimiter.length).subarray(0, end);
    }
    fc.assert(
      fc.property(bytesOf('a', 'b', '-', '--', '|'), chunkSizes(), (bytes, sizes) => {
        // The model notices later than the codec that a message without an end is too long.
        const chunks = chunksOf(Buffer.concat([bytes, delimiter]), sizes);
        const expected = withoutLeft(read(reading(decode), chunks));
        fc.pre(expected.error !== 'ERR_FRAME_TRUNCATED');
        expect(withoutLeft(read(delimited(delimiter, { maxLength }), chunks))).toEqual(expected);
      }),
    );
  });

  it('D1: lines of JSON are decoded as by their model', () => {
    type In = object | string | null;
    const maxLength = 100;
    const lineDecoder = lines({ maxLength }).decoder();
    function decode(queue: ByteQueue): In | undefined {
      const line = lineDecoder.decode(queue); // of lines({ maxLength })
      return line === undefined ? undefined : (JSON.parse(line) as In);
    }
    const chunks = [Buffer.from('{"a":[1]}\r\nnu'), Buffer.from('ll\n"é"\n')];
    expect(read(reading(decode), chunks).messages).toEqual([{ a: [1] }, null, 'é']);
    expect(read(jsonLines({ maxLength }), chunks).messages).toEqual([{ a: [1] }, null, 'é']);
  });

  it('D1: text is decoded as by its model', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), chunkSizes(), (sent, sizes) => {
        const encoding = 'utf8';
        const decoder = new TextDecoder(encoding, { fatal: true, ignoreBOM: true });
        const decode = (queue: ByteQueue) => decoder.decode(queue.take(queue.length), { stream: true }) || undefined;
        const chunks = chunksOf(Buffer.from(sent), sizes);
        expect(read(text(encoding), chunks)).toEqual(read(reading(decode), chunks));
        expect(read(text(encoding), chunks).messages.join('')).toBe(sent);
      }),
    );
  });

  it('D2: a mapped codec behaves like its model', () => {
    const codec = lines();
    type In = number;
    type Out = number;
    const [decode, encode] = [Number, (value: number) => value.toFixed()];
    const [decoder, encoder] = [codec.decoder(), codec.encoder()];
    // decoder and encoder are those of codec
    const receive = (queue: ByteQueue): In | undefined => {
      const message = decoder.decode(queue);
      return message === undefined ? undefined : decode(message);
    };
    const send = (value: Out, into: ByteSink): void => encoder.encode(encode(value), into);
    const model: Codec<In, Out> = { decoder: () => ({ decode: receive }), encoder: () => ({ encode: send }) };
    const mapped = mapCodec(codec, decode, encode);
    expect(encodeOne(mapped, 12)).toEqual(encodeOne(model, 12));
    const chunks = [Buffer.from('1'), Buffer.from('2\n3\n')];
    expect(read(mapped, chunks)).toEqual(read(model, chunks));
  });
});

describe('the examples of the other codecs show how to', () => {
  it('set options', () => {
    expect(encodeOne(delimited('|', delimitedOptions()), 'x'.repeat(4_096)).length).toBe(4_097);
    expect(encodeOne(netstring(netstringOptions()), 'x'.repeat(4_096)).length).toBe(4_102);
    expect(encodeOne(jsonLines(jsonOptions()), 'x'.repeat(1_048_574)).length).toBe(1_048_577);
  });

  it('receive with delimited', async () => {
    const { connect, console, peer } = network();
    const client = connect('unix:/run/app.sock', { codec: delimited('\0') });
    client.data.subscribe((field) => console.log(field.toString()));
    (await peer()).data.next('one\0two\0thr');
    await console.lines(2);
    expect(console.written).toEqual(['one', 'two']);
  });

  it('receive with fixedLength', async () => {
    const { connect, console, peer } = network();
    const client = connect('tcp://localhost:7000', { codec: fixedLength(4) });
    client.data.subscribe((sample) => console.log(sample.readInt32BE(0)));
    (await peer()).data.next(Uint8Array.of(0, 0, 1, 2, 255, 255, 255, 255));
    await console.lines(2);
    expect(console.written).toEqual([258, -1]);
  });

  it('send with jsonLines', async () => {
    const { connect, received } = network();
    const client = connect('tcp://localhost:7000', { codec: jsonLines<{ level: number }>() });
    client.data.next({ level: 7 }); // {"level":7}
    client.data.subscribe();
    expect(await received()).toBe('{"level":7}\n');
  });

  it('send with netstring', async () => {
    const { connect, received } = network();
    const client = connect('unix:/run/scgi.sock', { codec: netstring() });
    client.data.next('hello'); // 5:hello,
    client.data.subscribe();
    expect(await received()).toBe('5:hello,');
  });

  it('receive with text', async () => {
    const { connect, console, peer } = network();
    const process = { stdout: { write: (some: string) => console.log(some) } };
    const client = connect('tcp://localhost:7000', { codec: text() });
    client.data.subscribe((some) => process.stdout.write(some));
    (await peer()).data.next('é');
    await console.lines(1);
    expect(console.written).toEqual(['é']);
  });

  it('convert values with mapCodec', () => {
    const dates = mapCodec(
      lines(),
      (line) => new Date(line),
      (date: Date) => date.toISOString(),
    );
    const sent = new Date(0);
    expect(read(dates, [encodeOne(dates, sent)]).messages).toEqual([sent]);
  });
});

function delimitedOptions(): DelimitedOptions {
  const options: DelimitedOptions = { maxLength: 4_096 };
  return options;
}

function netstringOptions(): NetstringOptions {
  const options: NetstringOptions = { maxLength: 4_096 };
  return options;
}

function jsonOptions(): JsonLinesOptions {
  const options: JsonLinesOptions = { maxLength: 1_048_576 };
  return options;
}

const withoutLeft = <T>({ messages, error }: Received<T>): Omit<Received<T>, 'left'> => ({ messages, error });

/** A network for one example. `connect` also starts a server without a codec. `console` records the output. */
function network() {
  const transport = memoryTransport();
  const peers = new ReplaySubject<library.Connection>(1);
  const printed = new ReplaySubject<unknown>(Infinity);
  const written: unknown[] = [];
  return {
    connect<In, Out>(address: AddressInput, options: ConnectOptions<In, Out>): Client<In, Out> {
      const serving = library.listen(address, { transport }).subscribe(peers);
      onTestFinished(() => {
        serving.unsubscribe();
      });
      return library.connect(address, { transport, ...options });
    },
    peer: () => firstValueFrom(peers),
    received: () => firstValueFrom(peers.pipe(concatMap(({ data }) => data))).then(String),
    console: {
      written,
      log(value: unknown): void {
        written.push(value);
        printed.next(value);
      },
      lines: (count: number) => lastValueFrom(printed.pipe(take(count))),
    },
  };
}
