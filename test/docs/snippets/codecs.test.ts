import '../../support/leaks.js';
import { firstValueFrom } from 'rxjs';
import {
  type ByteQueue,
  type ByteSink,
  type Codec,
  type Decoder,
  type Encoder,
  lengthPrefixed,
  type LengthPrefixedOptions,
  lines,
  type LinesOptions,
} from 'rxjs-sockets/codecs';
import { verifyCodec, type VerifyCodecOptions } from 'rxjs-sockets/testing';
import { describe, expect, it } from 'vitest';
import { ChunkQueue } from '../../../src/bytes/chunk-queue.js';
import { network } from '../../support/transport/memory/memory-network.js';

function queueOf(...bytes: number[]): ByteQueue {
  const queue = new ChunkQueue();
  queue.push(Buffer.from(bytes));
  return queue;
}

/** The bytes that `write` puts into a sink. */
function collect(write: (into: ByteSink) => void): Buffer {
  const pieces: Uint8Array[] = [];
  write({
    bytes: (value) => void pieces.push(value),
    text: (value, encoding) => void pieces.push(Buffer.from(value, encoding)),
    uint(value, bytes, endian) {
      const piece = Buffer.alloc(bytes);
      if (endian === 'big') piece.writeUIntBE(value, 0, bytes);
      else piece.writeUIntLE(value, 0, bytes);
      pieces.push(piece);
    },
  });
  return Buffer.concat(pieces);
}

describe('the examples of Codec show how to', () => {
  const numbers: Codec<number> = {
    decoder: () => ({
      decode(bytes) {
        if (bytes.length < 4) return undefined;
        const value = bytes.uint(0, 4, 'big');
        bytes.skip(4);
        return value;
      },
    }),
    encoder: () => ({ encode: (value, into) => into.uint(value, 4, 'big') }),
  };

  it('write a complete codec', () => {
    verifyCodec(numbers, [0, 1, 0x01020304, 0xffffffff]);
  });

  it('make decoders and encoders', () => {
    const decoder = lines().decoder();
    const encoder = lines().encoder();
    expect(decoder.decode(queueOf(0x61, 10))).toBe('a');
    expect(collect((sink) => encoder.encode('a', sink))).toEqual(Buffer.from('a\n'));
  });

  it('write an encoder', () => {
    const numbers: Encoder<number> = { encode: (value, into) => into.uint(value, 4, 'big') };
    expect(collect((sink) => numbers.encode(258, sink))).toEqual(Buffer.from([0, 0, 1, 2]));
    const line = collect((sink) => {
      lines().encoder().encode('hello', sink); // 'hello\n'
    });
    expect(line.toString()).toBe('hello\n');
  });

  it('write a decoder', () => {
    const bytes4: Decoder<Buffer> = { decode: (bytes) => (bytes.length < 4 ? undefined : bytes.take(4)) };
    expect(bytes4.decode(queueOf(1, 2, 3))).toBeUndefined();
    expect(bytes4.decode(queueOf(1, 2, 3, 4, 5))).toEqual(Buffer.from([1, 2, 3, 4]));
    const queue = queueOf(0x61);
    const decoder = lines().decoder();
    const first = decoder.decode(queue); // undefined until the whole frame has arrived
    const last = lines().decoder().end?.(queue); // the last line needs no newline
    expect([first, last]).toEqual([undefined, 'a']);
  });
});

describe('the examples of ByteQueue show how to', () => {
  it('decode a number', () => {
    const decode = (bytes: ByteQueue): number | undefined => {
      if (bytes.length < 4) return undefined;
      const value = bytes.uint(0, 4, 'big');
      bytes.skip(4);
      return value;
    };
    expect(decode(queueOf(0, 0, 1))).toBeUndefined();
    expect(decode(queueOf(0, 0, 1, 2))).toBe(258);
  });

  it('look at bytes and take them', () => {
    const bytes = queueOf(1, 0, 2, 0x48, 0x69, 10);
    const version = bytes.at(0);
    const size = bytes.uint(1, 2, 'big');
    const end = bytes.indexOf(0x0a); // of '\n'
    bytes.skip(3);
    const body = bytes.take(size);
    expect([version, size, end, body.toString()]).toEqual([1, 2, 5, 'Hi']);
  });

  it('peek at bytes', () => {
    const bytes = queueOf(...Buffer.from('HELLO you'));
    const isHello = bytes.peek(5).toString('latin1') === 'HELLO';
    expect([isHello, bytes.length]).toEqual([true, 9]);
  });
});

describe('the examples of ByteSink show how to', () => {
  it('write bytes', () => {
    const encode = (value: number, into: ByteSink): void => into.uint(value, 4, 'big');
    expect(collect((into) => encode(258, into))).toEqual(Buffer.from([0, 0, 1, 2]));
    const body = Buffer.from('Hi');
    const line = 'é';
    const written = collect((into) => {
      into.uint(body.length, 2, 'big');
      into.bytes(body);
      into.text(`${line}\n`, 'utf8');
    });
    expect(written).toEqual(Buffer.from([0, 2, 0x48, 0x69, 0xc3, 0xa9, 10]));
  });
});

describe('the examples of the codecs', () => {
  it('show how to use lines', async () => {
    const { listen, connect } = network();
    const server = listen('tcp://localhost:7000', { codec: lines({ maxLength: 1_024 }) });
    server.subscribe(({ data }) => data.subscribe(data)); // an echo server
    const client = connect('tcp://localhost:7000');
    client.data.next('hello\r\n');
    expect((await firstValueFrom(client.data)).toString()).toBe('hello\n');
  });

  it('show how to set options of lines', () => {
    const options: LinesOptions = { delimiter: '\r\n', encoding: 'latin1', maxLength: 512 };
    verifyCodec(lines(options), ['', 'a', 'é', 'x'.repeat(512)], {
      refused: ['€', 'x'.repeat(513)],
      lastFrameMayBeOpen: true,
    });
  });

  it('show how to set options of lengthPrefixed', () => {
    const options: LengthPrefixedOptions = { bytes: 2, endian: 'little', maxLength: 4_096 };
    verifyCodec(lengthPrefixed(options), ['', 'é', Buffer.alloc(4_096)], { refused: [Buffer.alloc(4_097)] });
  });

  const verified: string[] = [];
  const myCodec = (): Codec<string> => {
    verified.push('my codec');
    const texts = lengthPrefixed();
    return {
      decoder: () => {
        const decoder = texts.decoder();
        return { decode: (bytes) => decoder.decode(bytes)?.toString() };
      },
      encoder: () => texts.encoder(),
    };
  };
  it('D1: my codec decodes split messages', () => verifyCodec(myCodec(), ['', 'a', 'é€😀', 'x'.repeat(2_000)]));

  it('show how to set options of verifyCodec', () => {
    const options: VerifyCodecOptions = { refused: ['two\nlines', '\ud800'], lastFrameMayBeOpen: true };
    verifyCodec(lines(), ['one line'], options);
    expect(verified).toEqual(['my codec']);
    expect(() => verifyCodec(lines(), ['two\nlines'])).toThrow(/^D2/);
  });
});
