import { Channel } from '../channel/channel.js';
import type { Client } from '../client/connect.js';
import type { Connection } from '../connection/connection.js';
import { SocketError } from '../errors/socket-error.js';
import type { SocketStream } from './socket-stream.js';
import { NetSocketStream } from './net-socket-stream.js';

/**
 * Turns a connection, a client or a channel into a Node stream that stands in for a `net.Socket`, for servers and drivers
 * that take one: `node:http`, `ws`, `pg`, `ioredis` and so on.
 *
 * The stream is there at once. Of a client it dials: what is written before it is connected waits, and `'connect'` tells
 * when it is. The stream is one connection: with `reconnect` the client dials until there is one, and ends with it. A
 * client has one connection, so a pool needs a client for each stream.
 *
 * Everything is carried over:
 * - The peer's FIN is `'end'`. Writing goes on after it until `end()`, unless the option `halfOpen` is false; then, or
 *   with `stream.allowHalfOpen = false`, the stream ends itself.
 *   An `http.Agent` needs that: it keeps idle connections, and forgets one when it closes.
 * - A failure of the connection is `'error'`, with its `SocketError`, after what was received before. Nobody has to listen
 *   to it where a server reports it (S19).
 * - `end()` is the FIN, after what was written. What is written in one turn goes out in one write, and a write calls back when
 *   the kernel has its bytes: until then they must not be changed.
 * - `destroy()` sends what was written and closes the connection gracefully (C11). `destroy(error)` resets it, but for a
 *   last word: what the same code has written right before is sent, and followed by the FIN. `resetAndDestroy()` resets it
 *   in any case.
 *
 * A shutdown of the server gives `'end'` and waits until the stream has ended or was destroyed (S7).
 *
 * @param source - what to read and write. Of a connection or a client these are its bytes, whatever its codec; of a channel
 * with a codec each write is a message
 * @returns the stream
 * @throws `ERR_OPTION_INVALID`, at once, for a client that has an open stream already, and for anything else
 * @backpressure carried over in both directions: while the stream is full it holds the channel, and while the channel is
 * not writable its writes wait
 * @teardown the end of the stream closes the connection, and with it a client to which nobody else is subscribed
 * @example
 * ```ts
 * import { createServer } from 'node:http';
 * import { toNodeStream } from 'rxjs-sockets/interop';
 *
 * const web = createServer((request, response) => response.end(`you want ${request.url}\n`));
 * // Without it, node:http sends no more responses once the client, or a shutdown, has ended the requests.
 * Object.assign(web, { httpAllowHalfOpen: true });
 * // Starts Node's timeouts for slow requests, which begin when a server listens itself.
 * web.emit('listening');
 * listen('unix:/run/web.sock').subscribe((connection) => web.emit('connection', toNodeStream(connection)));
 * ```
 * @see rules I1 to I3
 */
export function toNodeStream(
  source: Channel<Buffer, Uint8Array | string> | Connection<any, any> | Client<any, any>,
): SocketStream {
  if (source instanceof Channel) return new NetSocketStream(source);
  if (isObject(source) && 'bytes' in source) return new NetSocketStream(source.bytes, source);
  if (isObject(source) && source.data instanceof Channel) return new NetSocketStream(source.data, undefined, true);
  throw new SocketError('ERR_OPTION_INVALID', 'toNodeStream takes a connection, a client or a channel');
}

function isObject(source: unknown): source is object {
  return typeof source === 'object' && source !== null;
}
