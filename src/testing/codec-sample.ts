import { inspect } from 'node:util';
import type { Codec, Decoder } from '../codecs/codec.js';
import { SocketError } from '../errors/socket-error.js';
import { encodeWith } from './byte-collector.js';
import { CountingQueue } from './counting-queue.js';

/** Values, and the stream into which a codec encodes these values. */
export interface CodecSample<In, Out> {
  readonly codec: Codec<In, Out>;
  readonly values: readonly Out[];
  readonly equals: (received: unknown, sent: unknown) => boolean;
  readonly stream: Buffer;
  /** The encoded bytes of each value. */
  readonly frames: readonly Buffer[];
  /** The offset in the stream at which the frame of each value ends. */
  readonly ends: readonly number[];
}

export function encodeSample<In, Out>(
  codec: Codec<In, Out>,
  values: readonly Out[],
  equals: (received: unknown, sent: unknown) => boolean,
): CodecSample<In, Out> {
  const encoder = codec.encoder();
  const frames = values.map((value) => {
    try {
      return encodeWith(encoder, value);
    } catch (error) {
      throw violation('D2', 'while encoding', values, `encode threw on ${formatValue(value)}`, error);
    }
  });
  return joinFrames(codec, values, equals, frames);
}

/** Returns the sample without one of its frames, as if the frame had been dropped after encoding. */
export function dropFrame<In, Out>(sample: CodecSample<In, Out>, dropped: number): CodecSample<In, Out> {
  const isKept = (_: unknown, index: number): boolean => index !== dropped;
  return joinFrames(sample.codec, sample.values.filter(isKept), sample.equals, sample.frames.filter(isKept));
}

function joinFrames<In, Out>(
  codec: Codec<In, Out>,
  values: readonly Out[],
  equals: (received: unknown, sent: unknown) => boolean,
  frames: readonly Buffer[],
): CodecSample<In, Out> {
  let end = 0;
  const ends = frames.map((frame) => (end += frame.length));
  return { codec, values, equals, stream: Buffer.concat(frames), frames, ends };
}

/** Decodes the stream of a sample as a channel does, and checks each step. */
export class SampleReader<In, Out> {
  readonly queue: CountingQueue = new CountingQueue();
  private readonly decoder: Decoder<In>;
  private readonly sample: CodecSample<In, Out>;
  private readonly rule: string;
  private readonly split: string;
  private readonly received: In[] = [];
  private pushedBytes = 0;

  /**
   * @param rule - the rule that a wrong message violates
   * @param split - how the stream was split, for error messages
   */
  constructor(sample: CodecSample<In, Out>, rule: string, split: string) {
    this.decoder = sample.codec.decoder();
    this.sample = sample;
    this.rule = rule;
    this.split = split;
  }

  push(chunk: Buffer): void {
    this.queue.push(chunk);
    this.pushedBytes += chunk.length;
    while (this.step());
  }

  /**
   * Checks all decoded messages again, because a decoder must not overwrite the memory of a message that it has
   * returned.
   */
  finish(): void {
    for (const [index, value] of this.received.entries()) {
      if (!this.sample.equals(value, this.sample.values[index])) {
        this.fail(this.rule, `message ${index} has changed after it was given, to ${formatValue(value)}`);
      }
    }
  }

  /** Returns the result of the decoder's `end`, or the `SocketError` that it throws. */
  end(): In | SocketError | undefined {
    try {
      return this.decoder.end?.(this.queue);
    } catch (error) {
      return error instanceof SocketError ? error : this.fail(this.rule, 'end threw no SocketError', error);
    }
  }

  fail(rule: string, what: string, cause?: unknown): never {
    throw violation(rule, this.split, this.sample.values, what, cause);
  }

  /** Returns false if no further message is complete. */
  private step(): boolean {
    const { values, ends, equals } = this.sample;
    const before = this.queue.position;
    const value = this.decode();
    const after = this.queue.position;
    const index = this.received.length;
    const end = ends[index];
    const isComplete = end !== undefined && end <= this.pushedBytes;
    if (value === undefined) {
      if (after !== before) this.fail('C13', `decode took ${after - before} bytes off and gave nothing`);
      if (isComplete) this.fail(this.rule, `message ${index} is complete, and decode did not give it`);
      return false;
    }
    if (!isComplete) this.fail(this.rule, `decode gave ${formatValue(value)} where no message was complete`);
    if (!equals(value, values[index])) {
      this.fail(this.rule, `message ${index} is ${formatValue(value)}, not ${formatValue(values[index])}`);
    }
    if (after !== end)
      this.fail('C13', `message ${index} ends at byte ${end}, and decode took the bytes up to ${after}`);
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

export function violation(
  rule: string,
  split: string,
  values: readonly unknown[],
  what: string,
  cause?: unknown,
): Error {
  const reason = cause === undefined ? '' : `: ${cause instanceof Error ? cause.message : formatValue(cause)}`;
  return new Error(`${rule}: ${what}${reason}; ${split}; the values are ${formatValue(values)}`, { cause });
}

/** Formats a value for an error message. The length of the result is limited. */
export function formatValue(value: unknown): string {
  return inspect(value, { breakLength: Infinity, maxArrayLength: 20, maxStringLength: 100 });
}
