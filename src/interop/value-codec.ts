import type { Codec, Decoder, Encoder } from '../codecs/codec.js';
import type { ByteSink } from '../bytes/byte-sink.js';
import type { ByteQueue } from '../bytes/byte-queue.js';
import { Fifo } from '../collections/fifo.js';

/** What a value counts as that has no length in bytes. */
const fixedWeight = 1_024;

/** Bytes that mean nothing. They are never written to, so that all that is made of them shares this memory. */
const zeros = Buffer.alloc(16_384);

/** A value, and how many bytes stand for it. */
export interface Weighed<T> {
  readonly value: T;
  readonly weight: number;
}

/**
 * Carries values of any kind through queues of bytes: as many bytes as a value is long stand for it, and the value itself
 * waits beside them. So what bounds, holds and paces bytes does so for values, too.
 */
export class ValueCodec<In, Out> implements Codec<In, Out>, Decoder<In>, Encoder<Out> {
  /** What was sent and not yet taken from here, the oldest first. */
  readonly outgoing: Fifo<Weighed<Out>> = new Fifo();
  private readonly incoming = new Fifo<Weighed<In>>();

  decoder(): this {
    return this;
  }

  encoder(): this {
    return this;
  }

  /** Takes a value that was received, and has the bytes that stand for it given to `received`. */
  receive(value: In, received: (chunk: Buffer) => void): number {
    const weight = weightOf(value);
    this.incoming.push({ value, weight });
    standIn(weight, received);
    return weight;
  }

  decode(queue: ByteQueue): In | undefined {
    const { first } = this.incoming;
    if (first === undefined || queue.length < first.weight) return undefined;
    queue.skip(first.weight);
    this.incoming.shift();
    return first.value;
  }

  encode(value: Out, into: ByteSink): void {
    const weight = weightOf(value);
    this.outgoing.push({ value, weight });
    standIn(weight, (chunk) => into.bytes(chunk));
  }
}

/** The length in bytes of what has one, and at least 1. */
function weightOf(value: unknown): number {
  if (typeof value === 'string') return Math.max(1, Buffer.byteLength(value));
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return Math.max(1, value.byteLength);
  return fixedWeight;
}

function standIn(weight: number, take: (chunk: Buffer) => void): void {
  for (let left = weight; left > 0; left -= zeros.length) take(left < zeros.length ? zeros.subarray(0, left) : zeros);
}
