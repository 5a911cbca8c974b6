import { Channel } from '../../channel/channel.js';
import type { Client } from '../../client/client.js';
import type { Connection } from '../../connection/connection.js';
import { invalidOption } from '../../validation/checks.js';
import type { SocketStream } from './socket-stream.js';
import { NetSocketStream } from './net-socket-stream.js';

/**
 * Makes a Node stream from a connection, a client or a channel. You can give it to servers and drivers that accept a `net.Socket`: `node:http`, `ws`, `pg`, `ioredis` and so on.
 *
 * If the source is a client, the stream makes it dial. Writes wait until the stream emits `'connect'`. The stream is one
 * connection: with `reconnect`, the client dials until it is connected once, and ends with that connection. A pool needs a
 * client for each stream.
 *
 * - The peer's FIN emits `'end'`. Writing is possible until `end()`. If the option `halfOpen` or `stream.allowHalfOpen` is false,
 *   the stream ends itself instead. An `http.Agent` needs that: it keeps idle connections, and drops one when it closes.
 * - If the connection fails, the stream emits `'error'` with its `SocketError`, after everything received before. If a server
 *   reports the error in `incidents`, no listener is needed.
 * - `end()` sends the FIN after everything written. All writes of one turn go out as one. A write calls back when the kernel
 *   has its bytes; do not change them until then.
 * - `destroy()` sends what was written, and closes the connection gracefully (C11).
 * - `destroy(error)` resets the connection. As an exception, data that the same code wrote right before is sent first, and the
 *   connection closes gracefully.
 * - `resetAndDestroy()` resets the connection in any case.
 * - A shutdown of the server emits `'end'`, and waits until the stream has ended or was destroyed (S7).
 * - While the stream is full, it holds the channel. While the channel is not writable, writes wait.
 *
 * @param source - what to read and write. For a connection or a client, the stream carries its bytes, whatever the codec. For
 * a channel with a codec, each write is a message
 * @returns the stream
 * @throws `ERR_OPTION_INVALID` for a client that already has an open stream, and for any other argument
 * @teardown the end of the stream closes the connection. A client without other subscribers ends with it
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
  throw invalidOption('toNodeStream: source', 'a connection, a client or a channel', source);
}

function isObject(source: unknown): source is object {
  return typeof source === 'object' && source !== null;
}
