import type { Codec, Encoder } from '../codecs/codec.js';
import { SocketError } from '../errors/socket-error.js';
import { encodeWith } from './byte-collector.js';
import { breach, SampleReader, type Sample, sampleOf, shownValue } from './codec-sample.js';
import { sameMessage } from './same-message.js';
import { seededRandom } from './seeded-random.js';

/**
 * Sets what {@link verifyCodec} cannot know by itself.
 *
 * @example
 * ```ts
 * const options: VerifyCodecOptions = { refused: ['two\nlines', '\ud800'], lastFrameMayBeOpen: true };
 * ```
 * @see rules D4 and D5
 */
export interface VerifyCodecOptions {
  /** Values that `encode` must refuse (D5). Default none. */
  readonly refused?: readonly unknown[] | undefined;
  /** Whether the stream may end inside its last frame, as it may for `lines` (D4). Default false. */
  readonly lastFrameMayBeOpen?: boolean | undefined;
  /**
   * Whether a decoded message is what was sent. Default: deep and strict, but bytes equal bytes, and text in UTF-8, and an
   * object without a prototype equals one with the same members (D2).
   */
  readonly equals?: ((received: unknown, sent: unknown) => boolean) | undefined;
  /** What the random chunkings come from: the same for the same seed. Default 1. */
  readonly seed?: number | undefined;
}

/**
 * Verifies that a codec keeps the rules D1, D2, D4, D5 and C13 for `values`, however the bytes are split.
 *
 * The values are encoded once, and their bytes are decoded whole, cut in two at each place, one byte at a time, and in
 * random chunks; of a long stream a sample of the cuts is tried, so that at most about 16 MiB are decoded. It is
 * equivalent to this loop for each way to split, and to the same with the end cut off:
 *
 * ```ts
 * for (const chunk of chunks) {
 *   queue.push(chunk);
 *   for (let value = decoder.decode(queue); value !== undefined; value = decoder.decode(queue)) {
 *     assert.deepEqual(value, values[given]); // D1, D2
 *     assert.equal(queue.position, ends[given++]); // C13: exactly its own frame was taken off
 *   }
 * }
 * ```
 *
 * D1's linear time is verified by counting the bytes that the decoder looks at (`head` counts in full): a decoder that
 * begins again at each chunk is found where one of the values takes 1 KiB or more.
 *
 * @typeParam In - what the codec gives
 * @typeParam Out - what it takes
 * @param codec - any codec whose frames have an end
 * @param values - messages to send, at least one; the more kinds and lengths, the more is verified. Of a decoder that
 * groups them, the last group has to be whole
 * @param options - `refused` (none), `lastFrameMayBeOpen` (false), `equals` (deep and strict), `seed` (1)
 * @returns once all is verified
 * @throws an Error at the first breach, with the rule, the split and the values in its message
 * @example
 * ```ts
 * it('D1: my codec takes any split', () => verifyCodec(myCodec(), ['', 'a', 'é€😀', 'x'.repeat(2_000)]));
 * ```
 * @see rules C13 and D1 to D5
 */
export function verifyCodec<In, Out>(
  codec: Codec<In, Out>,
  values: readonly Out[],
  options: VerifyCodecOptions = {},
): void {
  if (values.length === 0) throw new Error('verifyCodec needs at least one value');
  const sample = sampleOf(codec, values, options.equals ?? sameMessage);
  const { stream } = sample;
  const random = seededRandom(options.seed ?? 1);
  const rounds = Math.max(16, Math.min(1_000, Math.floor(2 ** 24 / (stream.length + 1))));
  const cuts = cutsOf(sample, rounds, random);

  readAll(sample, 'D2', 'whole', [stream]);
  for (const cut of cuts) readAll(sample, 'D1', `cut at byte ${cut}`, [stream.subarray(0, cut), stream.subarray(cut)]);
  for (let round = 0; round < Math.min(rounds, 100); round++) {
    const chunks = randomChunks(stream, random);
    readAll(sample, 'D1', `in chunks of ${shownSizes(chunks)} bytes`, chunks);
  }
  verifyByteByByte(sample);
  const { lastFrameMayBeOpen = false } = options;
  for (const cut of [0, ...cuts, stream.length]) verifyEnd(sample, [stream.subarray(0, cut)], lastFrameMayBeOpen);
  for (let round = 0; round < 16; round++) {
    // What a decoder knows at the end must not come from how the bytes were cut, either.
    const cut = round === 0 ? stream.length : Math.floor(random() * (stream.length + 1));
    verifyEnd(sample, randomChunks(stream.subarray(0, cut), random), lastFrameMayBeOpen);
  }
  verifyRefusals(sample, options.refused ?? []);
}

/** A decoder may look at each byte this often before it is not called linear any more. */
const mostLooks = 256;

function readAll<In, Out>(sample: Sample<In, Out>, rule: string, split: string, chunks: readonly Buffer[]): void {
  const reader = new SampleReader(sample, rule, split);
  for (const chunk of chunks) reader.push(chunk);
  reader.finish();
}

/** One byte at a time, beside a second stream of the same codec that is ahead: decoders must not share their state. */
function verifyByteByByte<In, Out>(sample: Sample<In, Out>): void {
  const { stream } = sample;
  const reader = new SampleReader(sample, 'D1', 'one byte at a time');
  const other = new SampleReader(sample, 'D1', 'three bytes at a time, beside another stream');
  for (let at = 0; at < stream.length; at++) {
    other.push(stream.subarray(3 * at, 3 * at + 3));
    reader.push(stream.subarray(at, at + 1));
  }
  reader.finish();
  other.finish();
  const looks = Math.round(reader.queue.examined / stream.length);
  if (looks > mostLooks) reader.fail('D1', `the time is not linear: each byte was looked at ${looks} times`);
}

function verifyEnd<In, Out>(sample: Sample<In, Out>, chunks: readonly Buffer[], mayBeOpen: boolean): void {
  const cut = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const split = chunks.length > 1 ? `, in chunks of ${shownSizes(chunks)} bytes` : '';
  const reader = new SampleReader(sample, 'D4', `ending after byte ${cut} of ${sample.stream.length}${split}`);
  for (const chunk of chunks) reader.push(chunk);
  const open = reader.queue.length > 0;
  // Between two values a decoder may know that it is in the middle of what they make together.
  const between = !open && cut > 0 && cut < sample.stream.length;
  const last = reader.end();
  const left = reader.queue.length;
  if (last instanceof SocketError) {
    const isTruncated = last.code === 'ERR_FRAME_TRUNCATED';
    const expected = open ? isTruncated || (mayBeOpen && last.code.startsWith('ERR_FRAME_')) : between && isTruncated;
    if (!expected) reader.fail('D4', 'end threw', last);
  } else if (last === undefined) {
    if (open && left === 0) reader.fail('D4', 'end dropped a frame that was cut off');
  } else {
    if (!open) reader.fail('D4', `end gave ${shownValue(last)} though no frame was open`);
    if (!mayBeOpen) reader.fail('D4', `end gave ${shownValue(last)} for a frame that was cut off`);
    if (left > 0) reader.fail('D4', `end gave ${shownValue(last)} and left ${left} bytes of it`);
    if (reader.end() !== undefined) reader.fail('D4', 'end gave more than one message for one frame');
  }
}

/** A refusal must leave no trace: the values around it become the same bytes as without it. */
function verifyRefusals<In, Out>(sample: Sample<In, Out>, refused: readonly unknown[]): void {
  const { codec, values, stream } = sample;
  const encoder = codec.encoder();
  const frames = values.map((value) => {
    for (const bad of refused) verifyRefusal(encoder, bad, values);
    return encodeWith(encoder, value);
  });
  if (!stream.equals(Buffer.concat(frames))) {
    throw breach('D5', 'with refused values in between', values, 'the values are encoded in another way than alone');
  }
}

function verifyRefusal<Out>(encoder: Encoder<Out>, bad: unknown, values: readonly Out[]): void {
  try {
    encodeWith(encoder, bad as Out);
  } catch (error) {
    if (error instanceof SocketError) return;
    throw breach('D5', 'while encoding', values, `encode threw no SocketError on ${shownValue(bad)}`, error);
  }
  throw breach('D5', 'while encoding', values, `encode did not refuse ${shownValue(bad)}`);
}

/** All the places to cut at, or where they are too many, those around each frame's end and random ones. */
function cutsOf<In, Out>({ stream, ends }: Sample<In, Out>, most: number, random: () => number): readonly number[] {
  const inner = stream.length - 1;
  if (inner <= most) return Array.from({ length: Math.max(0, inner) }, (_, index) => index + 1);
  const cuts = new Set<number>();
  for (const end of ends) {
    for (let cut = end - 3; cut <= end + 5 && cuts.size < most / 2; cut++) if (cut >= 1 && cut <= inner) cuts.add(cut);
  }
  while (cuts.size < most) cuts.add(1 + Math.floor(random() * inner));
  return [...cuts];
}

function randomChunks(stream: Buffer, random: () => number): readonly Buffer[] {
  const largest = 2 ** Math.ceil(random() * Math.log2(stream.length + 2));
  const chunks: Buffer[] = [];
  for (let at = 0; at < stream.length;) {
    const end = at + 1 + Math.floor(random() * largest);
    chunks.push(stream.subarray(at, end));
    at = end;
  }
  return chunks;
}

function shownSizes(chunks: readonly Buffer[]): string {
  const sizes = chunks.slice(0, 20).map((chunk) => chunk.length);
  return `${sizes.join(', ')}${chunks.length > sizes.length ? ', …' : ''}`;
}
