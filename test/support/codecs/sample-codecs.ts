import { SocketError } from 'rxjs-sockets';
import { type Codec, lines } from 'rxjs-sockets/codecs';

/** JSON, one value on each line. */
export const json: Codec<unknown> = mapCodecOfLines(
  (line): unknown => JSON.parse(line),
  (value) => JSON.stringify(value),
);

function mapCodecOfLines<T>(decode: (line: string) => T, encode: (value: T) => string): Codec<T> {
  const inner = lines();
  return {
    decoder: () => {
      const decoder = inner.decoder();
      return {
        decode: (bytes) => {
          const line = decoder.decode(bytes);
          return line === undefined ? undefined : decode(line);
        },
      };
    },
    encoder: () => {
      const encoder = inner.encoder();
      return { encode: (value, into) => encoder.encode(encode(value), into) };
    },
  };
}

export function fixed(size: number): Codec<Buffer, Uint8Array> {
  return {
    decoder: () => ({ decode: (bytes) => (bytes.length < size ? undefined : bytes.take(size)) }),
    encoder: () => ({ encode: (value, into) => into.bytes(value) }),
  };
}

/** A codec whose encoder writes a part of each value before it checks the value. */
export const halfway: Codec<Buffer, string> = {
  decoder: () => ({ decode: (bytes) => (bytes.length === 0 ? undefined : bytes.take(bytes.length)) }),
  encoder: () => ({
    encode: (value, into) => {
      into.bytes(Buffer.from('['));
      into.text(value, 'utf8');
      into.bytes(Buffer.alloc(value === 'bad' ? 10_000 : 0));
      if (value === 'bad') throw new SocketError('ERR_FRAME_INVALID', 'bad');
      into.uint(93, 1, 'big');
    },
  }),
};

export function throwing(error: Error): Codec<Buffer, string> {
  const fail = (): never => {
    throw error;
  };
  return {
    decoder: () => ({ decode: (bytes) => (bytes.length === 0 ? undefined : fail()) }),
    encoder: () => ({ encode: fail }),
  };
}
