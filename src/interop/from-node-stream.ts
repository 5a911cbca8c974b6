import type { Duplex } from 'node:stream';
import { bytes } from '../codecs/raw-bytes.js';
import type { Channel } from '../channel/channel.js';
import { SocketError } from '../errors/socket-error.js';
import { describeValue } from '../errors/describe-value.js';
import { DuplexSocket } from './duplex-socket.js';
import { connectionOver } from './stream-connection.js';

/** What is needed of a stream, which need not be of Node's own class. */
const methods = ['on', 'once', 'off', 'read', 'pause', 'resume', 'write', 'end', 'destroy'] as const;

/**
 * Makes a Channel of a Node stream of bytes: a socket of `node:net` that somebody else has connected, the standard streams of
 * a child process, a compressor, a stream of HTTP/2. It reads from now on, also what the stream has buffered, and the stream
 * must not be read or written in another way.
 *
 * All of {@link Channel} is there, `framed` and `body` too. Apart from the bounds below it is equivalent to:
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
 * A stream with `allowHalfOpen: false`, which a socket of `net.connect` is by default, ends its sending side after the peer's
 * end, once all that was received has been emitted (C16). A stream that has ended one of its sides before the call, or has
 * none, gives a Channel of which that side has ended. A stream that was destroyed gives one that fails.
 *
 * @param stream - the stream, for good: it is ended and destroyed as the Channel is. For two streams use
 * `Duplex.from({ readable, writable })`
 * @returns the Channel
 * @emits chunks as they come, then completion after the stream's `'end'`. The stream's `'error'` arrives as a `SocketError`
 * with that error as `cause`, and with its code where that is one of the system's (else `EIO`). A stream that is destroyed
 * without `'end'` and without an error fails with `ECONNABORTED`
 * @throws `ERR_OPTION_INVALID`, at once, for what is no duplex stream, for one in object mode, and for one with an encoding
 * @backpressure held or without a subscriber, at most 65,536 bytes and the chunk in hand wait here, and the stream is paused
 * (F1, F3). What is sent waits here, up to `maxBuffered`, until the stream has called back for what was written before
 * @teardown unsubscribing ends nothing. `error(reason)` destroys the stream with the reason; a TCP socket is reset instead,
 * so that its peer does not take what it got for the whole (C20). When the stream has ended, no listener is left on it
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
  // A stream of another library may have no such property.
  const halfOpen = (stream.allowHalfOpen as boolean | undefined) ?? true;
  // Otherwise Node would end it in the turn of its 'end', and an answer to the last message would be lost.
  stream.allowHalfOpen = true;
  const connection = connectionOver(new DuplexSocket(stream), bytes, halfOpen);
  if (!stream.writable) connection.complete();
  return connection.data;
}

function faultOf(stream: Duplex): string | undefined {
  const isStream = typeof stream === 'object' && stream !== null;
  if (!isStream || methods.some((method) => typeof stream[method] !== 'function')) {
    return `stream must be a duplex stream, got ${describeValue(stream)}`;
  }
  if (stream.readableObjectMode || stream.writableObjectMode)
    return 'the stream is in object mode, and carries no bytes';
  const encoding = stream.readableEncoding ?? undefined;
  return encoding === undefined ? undefined : `the stream has an encoding (${encoding}), and gives no bytes`;
}
