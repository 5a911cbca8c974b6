import type { Codec, Encoder } from '../codecs/codec.js';
import type { ByteSink } from '../bytes/byte-sink.js';

class ByteCollector implements ByteSink {
  private readonly pieces: Uint8Array[] = [];

  bytes(value: Uint8Array): void {
    this.pieces.push(value);
  }

  text(value: string, encoding: 'utf8' | 'latin1'): void {
    this.pieces.push(Buffer.from(value, encoding));
  }

  uint(value: number, bytes: 1 | 2 | 4, endian: 'big' | 'little'): void {
    const piece = Buffer.alloc(bytes);
    if (endian === 'big') piece.writeUIntBE(value, 0, bytes);
    else piece.writeUIntLE(value, 0, bytes);
    this.pieces.push(piece);
  }

  collected(): Buffer {
    return Buffer.concat(this.pieces);
  }
}

/**
 * Returns the bytes that `encoder` writes for `value`. If the encoder throws, the bytes that it has written for `value`
 * are dropped (D5).
 */
export function encodeWith<Out>(encoder: Encoder<Out>, value: Out): Buffer {
  const sink = new ByteCollector();
  encoder.encode(value, sink);
  return sink.collected();
}

export function encodeOne<Out>(codec: Codec<unknown, Out>, value: Out): Buffer {
  return encodeWith(codec.encoder(), value);
}
