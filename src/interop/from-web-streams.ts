import type { Channel } from '../channel/channel.js';
import { SocketError } from '../errors/socket-error.js';
import { describeValue } from '../errors/describe-value.js';
import { connectionOver } from './stream-connection.js';
import { ValueCodec } from './value-codec.js';
import { WebStreamsSocket } from './web-streams-socket.js';

/**
 * Is a pair of web streams: what {@link toWebStreams} gives and {@link fromWebStreams} takes, and what every transform
 * stream is, such as `CompressionStream`.
 *
 * @typeParam In - what is read
 * @typeParam Out - what is written
 * @example
 * ```ts
 * const gzip: WebStreams<Uint8Array, Uint8Array> = new CompressionStream('gzip');
 * ```
 * @see rule I1
 */
export interface WebStreams<In, Out> {
  /** What is received. */
  readonly readable: ReadableStream<In>;
  /** Where to send. */
  readonly writable: WritableStream<Out>;
}

/**
 * Makes a Channel of a readable and a writable web stream: a transform stream such as `CompressionStream`, the streams of a
 * WebSocket or of a worker. Their values can be of any kind but `undefined`. Both are locked for as long as the Channel lives.
 *
 * Apart from the bounds below it is equivalent to:
 *
 * ```ts
 * const channelOver = <In, Out>(reader: ReadableStreamDefaultReader<In>, writer: WritableStreamDefaultWriter<Out>) => ({
 *   subscribe: async (observer: Observer<In>) => {
 *     try {
 *       for (let read = await reader.read(); !read.done; read = await reader.read()) observer.next(read.value);
 *       observer.complete();
 *     } catch (error) {
 *       observer.error(error);
 *     }
 *   },
 *   send: async (value: Out) => {
 *     await writer.ready;
 *     await writer.write(value);
 *   },
 *   complete: () => writer.close(),
 *   error: (reason: unknown) => Promise.all([writer.abort(reason), reader.cancel(reason)]),
 * });
 * ```
 *
 * What is counted in bytes, such as `bufferedBytes`, counts a string by its UTF-8, bytes of any kind by their `byteLength`, and
 * each other value as 1,024 bytes.
 *
 * The Channel has no `framed` and no `body`. For streams of bytes that need a framing, use
 * `fromNodeStream(Duplex.fromWeb(streams))`.
 *
 * @typeParam In - what the readable stream gives
 * @typeParam Out - what the writable stream takes
 * @param streams - the two streams, neither of them locked
 * @returns the Channel
 * @emits each value that is read, then completion when the readable stream closes. An error of either stream arrives after
 * all that was read before it, as a `SocketError` with that error as `cause`, and its code where it is one of the system's
 * (else `EIO`). A value that is `undefined` fails it with `ERR_FRAME_INVALID`
 * @throws `ERR_OPTION_INVALID`, at once, for what are no such streams, and for one that is locked
 * @backpressure one value is read at a time, and none while 65,536 bytes wait here because the Channel is held or has no
 * subscriber (F3). What is sent waits here, up to `maxBuffered`, until the writable stream is ready and has written what was
 * given to it before
 * @teardown unsubscribing ends nothing. `complete()` closes the writable stream, `error(reason)` aborts it and cancels the
 * readable one with the reason. When the Channel has ended, neither is locked
 * @example
 * ```ts
 * const gzip = fromWebStreams<Uint8Array, Uint8Array>(new CompressionStream('gzip'));
 * relay(connection.bytes, gzip).subscribe();
 * ```
 * @see rule I1
 */
export function fromWebStreams<In, Out>(streams: WebStreams<In, Out>): Channel<In, Out> {
  const { readable, writable } = Object(streams) as WebStreams<In, Out>;
  assertFree('readable', readable, 'getReader');
  assertFree('writable', writable, 'getWriter');
  const codec = new ValueCodec<In, Out>();
  const socket = new WebStreamsSocket(readable.getReader(), writable.getWriter(), codec);
  const connection = connectionOver(socket, codec, true);
  socket.whenClosed(() => {
    connection.complete();
  });
  return connection.data;
}

function assertFree(name: 'readable' | 'writable', stream: unknown, method: 'getReader' | 'getWriter'): void {
  const { [method]: lock, locked } = Object(stream) as Record<string, unknown>;
  if (typeof lock === 'function' && locked === false) return;
  const message =
    locked === true
      ? `${name} is locked: somebody else uses it already`
      : `${name} must be a web stream that is ${name}, got ${describeValue(stream)}`;
  throw new SocketError('ERR_OPTION_INVALID', `fromWebStreams: ${message}`);
}
