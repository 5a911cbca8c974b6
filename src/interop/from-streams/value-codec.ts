import type { Codec, Decoder, Encoder } from '../../codecs/codec.js';
import type { ByteSink } from '../../bytes/byte-sink.js';
import type { ByteQueue } from '../../bytes/byte-queue.js';
import { Fifo } from '../../collections/fifo.js';

const defaultWeight = 1_024;

/** The placeholder bytes, which stand for values. All values share this memory. */
const placeholder = Buffer.alloc(16_384);

export interface WeightedValue<T> {
  readonly value: T;
  readonly weight: number;
}

/**
 * Carries values of any kind through queues of bytes. Each value has a weight in bytes. For a value of weight n, n
 * placeholder bytes pass through the queue, and the value itself waits in this codec. So limits, holds and pacing work
 * for values as they do for bytes.
 */
export class ValueCodec<In, Out> implements Codec<In, Out>, Decoder<In>, Encoder<Out> {
  /** The values that were sent on the Channel but have not been written to the stream. */
  readonly outgoing: Fifo<WeightedValue<Out>> = new Fifo();
  private readonly incoming = new Fifo<WeightedValue<In>>();

  decoder(): this {
    return this;
  }

  encoder(): this {
    return this;
  }

  /** Passes the placeholder bytes of a received value to `push`. Returns the number of placeholder bytes. */
  receive(value: In, push: (chunk: Buffer) => void): number {
    const weight = weightOf(value);
    this.incoming.push({ value, weight });
    pushPlaceholder(weight, push);
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
    pushPlaceholder(weight, (chunk) => into.bytes(chunk));
  }
}

function weightOf(value: unknown): number {
  if (typeof value === 'string') return Math.max(1, Buffer.byteLength(value));
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return Math.max(1, value.byteLength);
  return defaultWeight;
}

function pushPlaceholder(weight: number, push: (chunk: Buffer) => void): void {
  for (let left = weight; left > 0; left -= placeholder.length) {
    push(left < placeholder.length ? placeholder.subarray(0, left) : placeholder);
  }
}
