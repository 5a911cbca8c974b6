import type { Channel } from '../../channel/channel.js';
import { SocketError } from '../../errors/socket-error.js';
import { describeValue } from '../../errors/describe-value.js';
import { connectionOver } from './connection-over-stream.js';
import { ValueCodec } from './value-codec.js';
import { WebStreamsTransportSocket } from './web-streams-transport-socket.js';

/**
 * Describes a pair of web streams, which {@link toWebStreams} returns and {@link fromWebStreams} accepts. Every
 * transform stream, such as `CompressionStream`, is such a pair.
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
 * streams of a WebSocket or a worker. Their values can be anything but `undefined`. Both streams stay locked until the
 * Channel ends.
 *
 * Apart from the limits below, it is equivalent to:
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
 * Limits and counters in bytes, such as `bufferedBytes`, count a string by its size in UTF-8, a buffer of any kind by
 * its `byteLength`, and any other value as 1,024 bytes.
 *
 * The Channel completes when the readable stream closes. It fails with a `SocketError` when either stream errors, after
 * it has emitted all values read before: `cause` is the stream's error, and `code` is the code of that error if it is a
 * system code, otherwise `EIO`. If the readable stream emits `undefined`, the Channel fails with `ERR_FRAME_INVALID`.
 *
 * The Channel has no `framed` and no `body`. For streams of bytes that need framing, use
 * `fromNodeStream(Duplex.fromWeb(streams))`.
 *
 * @typeParam In - the type of the values that the readable stream emits
 * @typeParam Out - the type of the values that the writable stream accepts
 * @param streams - the two streams. Neither may be locked
 * @returns the Channel
 * @throws `ERR_OPTION_INVALID` if one of them is not a web stream of its kind, or is locked
 * @backpressure the Channel reads one value at a time. While it is held or has no subscriber, it stops reading once
 * 65,536 bytes are buffered. Sent values are buffered, up to `maxBuffered`, until the writable stream is ready and has
 * written the earlier values
 * @teardown unsubscribing ends nothing. `complete()` closes the writable stream. `error(reason)` aborts it, and cancels
 * the readable stream, with the reason. When the Channel has ended, neither stream is locked
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
