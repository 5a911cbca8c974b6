import type { Channel } from '../../channel/channel.js';
import { SocketError } from '../../errors/socket-error.js';
import { describeValue } from '../../errors/describe-value.js';
import { connectionOver } from './connection-over-stream.js';
import { ValueCodec } from './value-codec.js';
import { WebStreamsTransportSocket } from './web-streams-transport-socket.js';

/**
 * Describes the pair of web streams that {@link toWebStreams} returns and {@link fromWebStreams} accepts. Every
 * transform stream, such as `CompressionStream`, is a pair of web streams.
 *
 * @typeParam In - the type of the values to read
 * @typeParam Out - the type of the values to write
 * @example
 * ```ts
 * const gzip: WebStreams<Uint8Array, Uint8Array> = new CompressionStream('gzip');
 * ```
 * @see rule I1
 */
export interface WebStreams<In, Out> {
  /** The stream to read from. */
  readonly readable: ReadableStream<In>;
  /** The stream to write to. */
  readonly writable: WritableStream<Out>;
}

/**
 * Makes a Channel from a readable and a writable web stream: a transform stream such as `CompressionStream`, or the
 * streams of a WebSocket or a worker. The values of the streams can be anything but `undefined`. Both streams are
 * locked until the Channel ends.
 *
 * Apart from buffers and errors, the Channel is equivalent to:
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
 * In limits and counters, such as `bufferedBytes`, a string counts as its size in UTF-8, a buffer of any kind counts as
 * its `byteLength`, and any other value counts as 1,024 bytes. Every value counts as at least 1 byte.
 *
 * The Channel completes when the readable stream closes. When either stream errors, the Channel first emits all values
 * that it has read, and then fails with a `SocketError`: `cause` is the stream's error, and `code` is the code of that
 * error, or `EIO` if that error has no system code. If the readable stream emits `undefined`, the Channel fails with
 * `ERR_FRAME_INVALID`.
 *
 * The Channel has no `framed` and no `body`. For streams of bytes that need framing, use
 * `fromNodeStream(Duplex.fromWeb(streams))`.
 *
 * @typeParam In - the type of the values that the readable stream emits
 * @typeParam Out - the type of the values that the writable stream accepts
 * @param streams - the two streams, which must not be locked
 * @returns the Channel
 * @throws `ERR_OPTION_INVALID` if one of the two streams is locked, or is not a web stream of the right kind
 * @backpressure a Channel that is held or has no subscriber stops reading when it has buffered 65,536 bytes. While the
 * writable stream is not ready, or a write is pending, sent values are buffered, up to `maxBuffered`
 * @teardown unsubscribing from the Channel ends neither the Channel nor the streams. `complete()` closes the writable
 * stream. `error(reason)` aborts the writable stream with the reason, and cancels the readable stream with the reason.
 * A Channel that has ended unlocks both streams
 * @example
 * ```ts
 * const gzip = fromWebStreams<Uint8Array, Uint8Array>(new CompressionStream('gzip'));
 * relay(connection.bytes, gzip).subscribe();
 * ```
 * @see rule I1
 */
export function fromWebStreams<In, Out>(streams: WebStreams<In, Out>): Channel<In, Out> {
  const { readable, writable } = Object(streams) as WebStreams<In, Out>;
  assertUnlocked('readable', readable, 'getReader');
  assertUnlocked('writable', writable, 'getWriter');
  const codec = new ValueCodec<In, Out>();
  const socket = new WebStreamsTransportSocket(readable.getReader(), writable.getWriter(), codec);
  const connection = connectionOver(socket, codec, true);
  socket.whenWritableClosed(() => {
    connection.complete();
  });
  return connection.data;
}

function assertUnlocked(name: 'readable' | 'writable', stream: unknown, method: 'getReader' | 'getWriter'): void {
  const { [method]: lock, locked } = Object(stream) as Record<string, unknown>;
  if (typeof lock === 'function' && locked === false) return;
  const message =
    locked === true
      ? `${name} is locked, so something else uses it`
      : `${name} must be a ${name} web stream, got ${describeValue(stream)}`;
  throw new SocketError('ERR_OPTION_INVALID', `fromWebStreams: ${message}`);
}
