import type { Duplex } from 'node:stream';
import { bytes } from '../../codecs/raw-bytes.js';
import type { Channel } from '../../channel/channel.js';
import { SocketError } from '../../errors/socket-error.js';
import { describeValue } from '../../errors/describe-value.js';
import { NodeStreamTransportSocket } from './node-stream-transport-socket.js';
import { connectionOver } from './connection-over-stream.js';

/** A stream that another library has made need not be an instance of Node's `Duplex`, but must have these methods. */
const methods = ['on', 'once', 'off', 'read', 'pause', 'resume', 'write', 'end', 'destroy'] as const;

/**
 * Makes a Channel from a Node stream of bytes, such as a connected `net.Socket`, the standard streams of a child
 * process, a compressor, or an HTTP/2 stream. The Channel immediately starts to read, beginning with the bytes that the
 * stream has buffered. After the call of `fromNodeStream`, no code but the Channel may read or write the stream.
 *
 * The result is a full {@link Channel}, with `framed` and `body`. Apart from buffers and errors, the Channel is
 * equivalent to:
 *
 * ```ts
 * const channelOver = (stream: Duplex) => ({
 *   subscribe: (observer: Observer<Buffer>) => {
 *     stream.on('data', (chunk: Buffer) => observer.next(chunk));
 *     finished(stream, { writable: false }, (error) => {
 *       if (error) observer.error(error);
 *       else observer.complete();
 *     });
 *   },
 *   hold: () => stream.pause(), // released: stream.resume()
 *   next: (value: Uint8Array | string) => stream.write(value),
 *   complete: () => stream.end(),
 *   error: (reason: Error) => stream.destroy(reason),
 * });
 * ```
 *
 * The Channel completes after the stream's `'end'`. When the stream emits `'error'`, the Channel fails with a
 * `SocketError`: `cause` is the stream's error, and `code` is the code of that error, or `EIO` if that error has no
 * system code. If the stream is destroyed without `'end'` and without an error, the Channel fails with `ECONNABORTED`.
 * The Channel also fails if, before the call of `fromNodeStream`, the stream was destroyed with an error, or was
 * destroyed without having emitted `'end'`.
 *
 * If the stream has no readable side, or if that side has already ended, the Channel's receiving side has ended from
 * the start. If the stream has no writable side, or if that side has already ended, the Channel's sending side has
 * ended from the start.
 *
 * If the stream has `allowHalfOpen: false`, which is the default of `net.connect`, the end of the peer's stream also
 * ends the Channel's sending side, but only when everything received has been emitted (C16).
 *
 * @param stream - the stream, which the Channel ends and destroys. `Duplex.from({ readable, writable })` joins two
 * streams
 * @returns the Channel
 * @throws `ERR_OPTION_INVALID` if the argument is not a duplex stream, is in object mode, or has an encoding
 * @backpressure a Channel that is held or has no subscriber buffers at most 65,536 bytes and one chunk, and then pauses
 * the stream. While a write of the stream is pending, sent values are buffered, up to `maxBuffered`
 * @teardown unsubscribing from the Channel ends neither the Channel nor the stream. `error(reason)` destroys the stream
 * with the reason. If the stream is a TCP socket, `error(reason)` also resets the socket, so that the peer notices that
 * the data is incomplete. When the stream has ended, the Channel's listeners are removed
 * @example
 * ```ts
 * const child = spawn('sort');
 * const sort = fromNodeStream(Duplex.from({ readable: child.stdout, writable: child.stdin }));
 * sort.framed(lines()).subscribe((line) => console.log(line));
 * sort.next('pear\napple\n');
 * sort.complete();
 * ```
 * @see rule I1
 */
export function fromNodeStream(stream: Duplex): Channel<Buffer, Uint8Array | string> {
  const fault = faultOf(stream);
  if (fault !== undefined) throw new SocketError('ERR_OPTION_INVALID', `fromNodeStream: ${fault}`);
  // A stream that another library has made does not always have the property `allowHalfOpen`.
  const halfOpen = (stream.allowHalfOpen as boolean | undefined) ?? true;
  // With `allowHalfOpen: false`, Node would end the writable side in the turn in which the stream emits 'end', and an
  // answer to the last message would be lost.
  stream.allowHalfOpen = true;
  const connection = connectionOver(new NodeStreamTransportSocket(stream), bytes, halfOpen);
  if (!stream.writable) connection.complete();
  return connection.data;
}

function faultOf(stream: Duplex): string | undefined {
  const isStream = typeof stream === 'object' && stream !== null;
  if (!isStream || methods.some((method) => typeof stream[method] !== 'function')) {
    return `stream must be a duplex stream, got ${describeValue(stream)}`;
  }
  if (stream.readableObjectMode || stream.writableObjectMode)
    return 'the stream is in object mode, so it does not carry bytes';
  const encoding = stream.readableEncoding ?? undefined;
  return encoding === undefined ? undefined : `the stream has an encoding (${encoding}), so it does not emit bytes`;
}
