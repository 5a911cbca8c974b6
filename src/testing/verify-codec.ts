import type { Codec, Encoder } from '../codecs/codec.js';
import { SocketError } from '../errors/socket-error.js';
import { checkExactOptions, flag, func, invalidOption, number, withDefault } from '../validation/checks.js';
import { encodeWith } from './byte-collector.js';
import { type CodecSample, dropFrame, encodeSample, formatValue, SampleReader, violation } from './codec-sample.js';
import { sameMessage } from './same-message.js';
import { seededRandom } from './seeded-random.js';

/**
 * Configures {@link verifyCodec}.
 *
 * @example
 * ```ts
 * const options: VerifyCodecOptions = { refused: ['two\nlines', '\ud800'], lastFrameMayBeOpen: true };
 * ```
 * @see rules D4 and D5
 */
export interface VerifyCodecOptions {
  /**
   * Values that `encode` must refuse (D5).
   *
   * @defaultValue `undefined`: none
   */
  readonly refused?: readonly unknown[] | undefined;
  /**
   * Whether the last frame is allowed to end without its terminator, as with `lines` (D4).
   *
   * @defaultValue false
   */
  readonly lastFrameMayBeOpen?: boolean | undefined;
  /**
   * Whether the decoder can need earlier frames to decode a frame, for example if a message consists of several frames.
   * If true, `verifyCodec` skips the check that drops frames. Do not use a codec whose frames depend on each other with
   * `overflow: 'drop'`, `reconnect` or a `Broadcast` (D5).
   *
   * @defaultValue false
   */
  readonly framesMayDepend?: boolean | undefined;
  /**
   * Compares a decoded message with the value that was encoded (D2).
   *
   * @defaultValue `undefined`: a deep and strict comparison with two exceptions. First, received bytes equal sent bytes
   * of a different class, and equal a sent string whose UTF-8 encoding is these bytes. Second, an object without a
   * prototype equals a plain object with the same members
   */
  readonly equals?: ((received: unknown, sent: unknown) => boolean) | undefined;
  /**
   * The seed of the random chunk sizes.
   *
   * @defaultValue 1
   */
  readonly seed?: number | undefined;
}

/**
 * Verifies that a codec decodes the values that it has encoded, however their bytes are split into chunks.
 *
 * `verifyCodec` encodes the values once. After that, `verifyCodec` decodes the stream several times: in one piece, cut
 * in two at each offset, byte by byte, and in random chunks. At most 1,000 offsets are tried. In a long stream, fewer
 * offsets (but at least 16) are tried, so that `verifyCodec` decodes about 16 MiB for all these offsets together. For
 * each split, `verifyCodec` is equivalent to:
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
 * `verifyCodec` also ends the stream at the tried offsets, and checks the result of the decoder's `end` (D4). Finally,
 * `verifyCodec` drops up to 16 frames, one at a time, and decodes the other frames (D5).
 *
 * `verifyCodec` cannot test the size limit or the errors for bad frames (D3). Test this limit and these errors with
 * your own streams.
 *
 * To verify linear time (D1), `verifyCodec` counts the bytes that the decoder examines. Each use of `queue.head` counts
 * all bytes of `head`. Some decoders examine a frame from the frame's start for each new chunk. `verifyCodec` can
 * detect such a decoder only if one of the frames has at least 1 KiB.
 *
 * @typeParam In - the type of received messages
 * @typeParam Out - the type of sent messages
 * @param codec - the codec. Its frames must have an end, so the codec `text` cannot be verified
 * @param values - the messages to send, at least one. Vary their kinds and lengths. If the decoder groups messages, the
 * last group must be complete
 * @param options - `refused` (none), `lastFrameMayBeOpen` (false), `framesMayDepend` (false), `equals` (deep and
 * strict), `seed` (1)
 * @throws an Error at the first violation, with the rule, the split and the values in its message; `ERR_OPTION_INVALID`
 * for a bad or unknown option
 * @example
 * ```ts
 * it('D1: my codec decodes split messages', () => verifyCodec(myCodec(), ['', 'a', 'é€😀', 'x'.repeat(2_000)]));
 * ```
 * @see rules C13, D1, D2, D4 and D5
 */
export function verifyCodec<In, Out>(
  codec: Codec<In, Out>,
  values: readonly Out[],
  options: VerifyCodecOptions = {},
): void {
  const { refused, lastFrameMayBeOpen, framesMayDepend, equals, seed } = checkExactOptions(
    'verifyCodec',
    checks,
    options,
  );
  if (values.length === 0) throw new Error('verifyCodec needs at least one value');
  const sample = encodeSample(codec, values, equals);
  const { stream } = sample;
  const random = seededRandom(seed);
  const rounds = Math.max(16, Math.min(1_000, Math.floor(2 ** 24 / (stream.length + 1))));
  const cuts = chooseCuts(sample, rounds, random);

  readAll(sample, 'D2', 'whole', [stream]);
  for (const cut of cuts) readAll(sample, 'D1', `cut at byte ${cut}`, [stream.subarray(0, cut), stream.subarray(cut)]);
  for (let round = 0; round < Math.min(rounds, 100); round++) {
    const chunks = randomChunks(stream, random);
    readAll(sample, 'D1', `in chunks of ${formatSizes(chunks)} bytes`, chunks);
  }
  verifyByteByByte(sample);
  for (const cut of [0, ...cuts, stream.length]) verifyEnd(sample, [stream.subarray(0, cut)], lastFrameMayBeOpen);
  for (let round = 0; round < 16; round++) {
    // The result of `end` must not depend on how the stream is split.
    const cut = round === 0 ? stream.length : Math.floor(random() * (stream.length + 1));
    verifyEnd(sample, randomChunks(stream.subarray(0, cut), random), lastFrameMayBeOpen);
  }
  verifyRefusals(sample, refused);
  if (!framesMayDepend) verifyDrops(sample);
}

const checks = {
  refused: withDefault<readonly unknown[]>(array, []),
  lastFrameMayBeOpen: withDefault(flag, false),
  framesMayDepend: withDefault(flag, false),
  equals: withDefault(func<(received: unknown, sent: unknown) => boolean>(), sameMessage),
  seed: withDefault(
    number('a number', (value) => Number.isFinite(value)),
    1,
  ),
};

function array(option: string, value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value as readonly unknown[];
  throw invalidOption(option, 'an array', value);
}

const maxDropped = 16;

/** How often a decoder with linear time is allowed to examine each byte, on average. */
const maxLooks = 256;

function readAll<In, Out>(sample: CodecSample<In, Out>, rule: string, split: string, chunks: readonly Buffer[]): void {
  const reader = new SampleReader(sample, rule, split);
  for (const chunk of chunks) reader.push(chunk);
  reader.finish();
}

/** Decodes byte by byte. A second decoder takes turns with the first decoder, to check that decoders share no state. */
function verifyByteByByte<In, Out>(sample: CodecSample<In, Out>): void {
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
  if (looks > maxLooks) reader.fail('D1', `the time is not linear: each byte was looked at ${looks} times`);
}

function verifyEnd<In, Out>(sample: CodecSample<In, Out>, chunks: readonly Buffer[], mayBeOpen: boolean): void {
  const cut = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const split = chunks.length > 1 ? `, in chunks of ${formatSizes(chunks)} bytes` : '';
  const reader = new SampleReader(sample, 'D4', `ending after byte ${cut} of ${sample.stream.length}${split}`);
  for (const chunk of chunks) reader.push(chunk);
  const open = reader.queue.length > 0;
  // A decoder that groups frames may throw between two frames, because the group of frames is incomplete.
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
    if (!open) reader.fail('D4', `end gave ${formatValue(last)} though no frame was open`);
    if (!mayBeOpen) reader.fail('D4', `end gave ${formatValue(last)} for a frame that was cut off`);
    if (left > 0) reader.fail('D4', `end gave ${formatValue(last)} and left ${left} bytes of it`);
    if (reader.end() !== undefined) reader.fail('D4', 'end gave more than one message for one frame');
  }
}

/** Checks that refused values do not change the bytes of the values that are encoded before and after them. */
function verifyRefusals<In, Out>(sample: CodecSample<In, Out>, refused: readonly unknown[]): void {
  const { codec, values, stream } = sample;
  const encoder = codec.encoder();
  const frames = values.map((value) => {
    for (const bad of refused) verifyRefusal(encoder, bad, values);
    return encodeWith(encoder, value);
  });
  if (!stream.equals(Buffer.concat(frames))) {
    throw violation('D5', 'with refused values in between', values, 'the values are encoded in another way than alone');
  }
}

function verifyRefusal<Out>(encoder: Encoder<Out>, bad: unknown, values: readonly Out[]): void {
  try {
    encodeWith(encoder, bad as Out);
  } catch (error) {
    if (error instanceof SocketError) return;
    throw violation('D5', 'while encoding', values, `encode threw no SocketError on ${formatValue(bad)}`, error);
  }
  throw violation('D5', 'while encoding', values, `encode did not refuse ${formatValue(bad)}`);
}

function verifyDrops<In, Out>(sample: CodecSample<In, Out>): void {
  const count = Math.min(sample.frames.length, maxDropped);
  for (let dropped = 0; dropped < count; dropped++) {
    const rest = dropFrame(sample, dropped);
    readAll(rest, 'D5', `without the frame of ${formatValue(sample.values[dropped])}`, rest.frames);
  }
}

/**
 * Returns all offsets of the stream. If there are more than `max` offsets, returns `max` offsets: some near the ends of
 * frames, and some at random.
 */
function chooseCuts<In, Out>(
  { stream, ends }: CodecSample<In, Out>,
  max: number,
  random: () => number,
): readonly number[] {
  const inner = stream.length - 1;
  if (inner <= max) return Array.from({ length: Math.max(0, inner) }, (_, index) => index + 1);
  const cuts = new Set<number>();
  for (const end of ends) {
    for (let cut = end - 3; cut <= end + 5 && cuts.size < max / 2; cut++) if (cut >= 1 && cut <= inner) cuts.add(cut);
  }
  while (cuts.size < max) cuts.add(1 + Math.floor(random() * inner));
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

function formatSizes(chunks: readonly Buffer[]): string {
  const sizes = chunks.slice(0, 20).map((chunk) => chunk.length);
  return `${sizes.join(', ')}${chunks.length > sizes.length ? ', …' : ''}`;
}
