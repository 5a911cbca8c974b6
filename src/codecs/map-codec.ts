import type { Codec, Decoder, Encoder } from './codec.js';
import type { ByteSink } from '../bytes/byte-sink.js';
import type { ByteQueue } from '../bytes/byte-queue.js';
import { SocketError } from '../errors/socket-error.js';
import { describeError } from '../errors/describe-value.js';
import { func, withMethods } from '../validation/checks.js';

/**
 * Converts the messages of a codec with one function for each direction. The framing and its limits do not change.
 *
 * Receiving and sending are equivalent to:
 *
 * ```ts
 * // decoder and encoder are those of codec
 * const receive = (queue: ByteQueue): In | undefined => {
 *   const message = decoder.decode(queue);
 *   return message === undefined ? undefined : decode(message);
 * };
 * const send = (value: Out, into: ByteSink): void => encoder.encode(encode(value), into);
 * ```
 *
 * If `decode` or `encode` throws, the new codec throws `ERR_FRAME_INVALID` with the thrown error as `cause`. But if the
 * thrown error is a `SocketError` whose code begins with `ERR_FRAME_`, the new codec throws this error unchanged. If
 * `decode` returns undefined, the new codec throws `ERR_FRAME_INVALID`.
 *
 * @typeParam BaseIn - the type that `codec` receives
 * @typeParam BaseOut - the type that `codec` sends
 * @typeParam In - the type that the new codec receives
 * @typeParam Out - the type that the new codec sends
 * @param codec - the codec to build on
 * @param decode - converts a received message. `decode` must be synchronous: a returned promise would become the
 * received value
 * @param encode - converts a value before the value is sent. `encode` must also be synchronous
 * @returns the new codec
 * @throws `ERR_OPTION_INVALID` for an argument of the wrong type
 * @example
 * ```ts
 * const dates = mapCodec(lines(), (line) => new Date(line), (date: Date) => date.toISOString());
 * ```
 * @see rules D1 to D5
 */
export function mapCodec<BaseIn, BaseOut, In, Out>(
  codec: Codec<BaseIn, BaseOut>,
  decode: (value: BaseIn) => In,
  encode: (value: Out) => BaseOut,
): Codec<In, Out> {
  withMethods('a codec', 'decoder', 'encoder')('codec', codec);
  func()('decode', decode);
  func()('encode', encode);
  return {
    decoder: () => new MappedDecoder(codec.decoder(), decode),
    encoder: () => new MappedEncoder(codec.encoder(), encode),
  };
}

class MappedDecoder<BaseIn, In> implements Decoder<In> {
  private readonly decoder: Decoder<BaseIn>;
  private readonly map: (value: BaseIn) => In;

  constructor(decoder: Decoder<BaseIn>, map: (value: BaseIn) => In) {
    this.decoder = decoder;
    this.map = map;
  }

  decode(bytes: ByteQueue): In | undefined {
    return this.mapped(this.decoder.decode(bytes));
  }

  end(bytes: ByteQueue): In | undefined {
    return this.mapped(this.decoder.end?.(bytes));
  }

  private mapped(message: BaseIn | undefined): In | undefined {
    if (message === undefined) return undefined;
    const value = attempt('decode', this.map, message);
    if (value !== undefined) return value;
    throw new SocketError('ERR_FRAME_INVALID', 'decode, passed to mapCodec, returned undefined');
  }
}

class MappedEncoder<BaseOut, Out> implements Encoder<Out> {
  private readonly encoder: Encoder<BaseOut>;
  private readonly map: (value: Out) => BaseOut;

  constructor(encoder: Encoder<BaseOut>, map: (value: Out) => BaseOut) {
    this.encoder = encoder;
    this.map = map;
  }

  encode(value: Out, into: ByteSink): void {
    this.encoder.encode(attempt('encode', this.map, value), into);
  }
}

function attempt<T, R>(name: string, map: (value: T) => R, value: T): R {
  try {
    return map(value);
  } catch (cause) {
    if (cause instanceof SocketError && cause.code.startsWith('ERR_FRAME_')) throw cause;
    throw new SocketError('ERR_FRAME_INVALID', `${name}, passed to mapCodec, threw ${describeError(cause)}`, { cause });
  }
}
