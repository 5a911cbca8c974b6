import { inspect } from 'node:util';
import type { Codec, Decoder } from '../codecs/codec.js';
import { SocketError } from '../errors/socket-error.js';
import { encodeWith } from './byte-collector.js';
import { CountingQueue } from './counting-queue.js';

/** The values and the stream that the codec makes of them. */
export interface Sample<In, Out> {
  readonly codec: Codec<In, Out>;
  readonly values: readonly Out[];
  readonly equals: (received: unknown, sent: unknown) => boolean;
  readonly stream: Buffer;
  /** Where the frame of each value ends in the stream. */
  readonly ends: readonly number[];
}

/** Encodes `values` one after the other. */
export function sampleOf<In, Out>(
  codec: Codec<In, Out>,
  values: readonly Out[],
  equals: (received: unknown, sent: unknown) => boolean,
): Sample<In, Out> {
  const encoder = codec.encoder();
  const frames = values.map((value) => {
    try {
      return encodeWith(encoder, value);
    } catch (error) {
      throw breach('D2', 'while encoding', values, `encode threw on ${shownValue(value)}`, error);
    }
  });
  let end = 0;
  const ends = frames.map((frame) => (end += frame.length));
  return { codec, values, equals, stream: Buffer.concat(frames), ends };
}

/** Reads the stream of a sample as a channel does, and compares each step with what must happen. */
export class SampleReader<In, Out> {
  readonly queue: CountingQueue = new CountingQueue();
  private readonly decoder: Decoder<In>;
  private readonly sample: Sample<In, Out>;
  private readonly rule: string;
  private readonly split: string;
  private readonly received: In[] = [];
  private pushed = 0;

  constructor(sample: Sample<In, Out>, rule: string, split: string) {
    this.decoder = sample.codec.decoder();
    this.sample = sample;
    this.rule = rule;
    this.split = split;
  }

  push(chunk: Buffer): void {
    this.queue.push(chunk);
    this.pushed += chunk.length;
    while (this.step());
  }

  /** All that was given must still be what it was: a decoder may not use its memory again. */
  finish(): void {
    for (const [index, value] of this.received.entries()) {
      if (!this.sample.equals(value, this.sample.values[index])) {
        this.fail(this.rule, `message ${index} has changed after it was given, to ${shownValue(value)}`);
      }
    }
  }

  /** What the decoder makes of the end of the stream: a message, nothing, or the error that it throws. */
  end(): In | SocketError | undefined {
    try {
      return this.decoder.end?.(this.queue);
    } catch (error) {
      return error instanceof SocketError ? error : this.fail(this.rule, 'end threw no SocketError', error);
    }
  }

  fail(rule: string, what: string, cause?: unknown): never {
    throw breach(rule, this.split, this.sample.values, what, cause);
  }

  private step(): boolean {
    const { values, ends, equals } = this.sample;
    const before = this.queue.position;
    const value = this.decode();
    const taken = this.queue.position;
    const index = this.received.length;
    const end = ends[index];
    const complete = end !== undefined && end <= this.pushed;
    if (value === undefined) {
      if (taken !== before) this.fail('C13', `decode took ${taken - before} bytes off and gave nothing`);
      if (complete) this.fail(this.rule, `message ${index} is complete, and decode did not give it`);
      return false;
    }
    if (!complete) this.fail(this.rule, `decode gave ${shownValue(value)} where no message was complete`);
    if (!equals(value, values[index])) {
      this.fail(this.rule, `message ${index} is ${shownValue(value)}, not ${shownValue(values[index])}`);
    }
    if (taken !== end)
      this.fail('C13', `message ${index} ends at byte ${end}, and decode took all up to byte ${taken}`);
    this.received.push(value);
    return true;
  }

  private decode(): In | undefined {
    try {
      return this.decoder.decode(this.queue);
    } catch (error) {
      return this.fail(this.rule, `decode threw at message ${this.received.length}`, error);
    }
  }
}

/** The error that tells which rule was broken, in what way, and by which input. */
export function breach(rule: string, split: string, values: readonly unknown[], what: string, cause?: unknown): Error {
  const reason = cause === undefined ? '' : `: ${cause instanceof Error ? cause.message : shownValue(cause)}`;
  return new Error(`${rule}: ${what}${reason}; ${split}; the values are ${shownValue(values)}`, { cause });
}

/** Writes a value into a message, in bounds. */
export function shownValue(value: unknown): string {
  return inspect(value, { breakLength: Infinity, maxArrayLength: 20, maxStringLength: 100 });
}
