import { Channel } from '../../channel/channel.js';
import type { Client } from '../../client/client.js';
import type { Connection } from '../../connection/connection.js';
import { invalidOption } from '../../validation/checks.js';
import type { SocketStream } from './socket-stream.js';
import { NetSocketStream } from './net-socket-stream.js';

/**
 * Makes a Node stream from a connection, a client or a channel. Pass the stream to servers and drivers that accept a
 * `net.Socket`: `node:http`, `ws`, `pg`, `ioredis` and so on.
 *
 * If the source is a client, the stream makes the client dial. Writes are queued until the stream emits `'connect'`.
 * The stream lasts for one connection of the client. With `reconnect`, the client dials until it is connected, but does
 * not dial again when the stream's connection has ended. A connection pool needs one client for each stream.
 *
 * - After the peer's FIN, the stream emits `'end'`. After `'end'`, you can still write to the stream until you call
 *   `end()`. But if you set the option `halfOpen` or `stream.allowHalfOpen` to false, the stream itself calls `end()`
 *   after the peer's FIN. An `http.Agent` keeps an idle connection until both sides of the connection have ended. For
 *   an agent, set `halfOpen: false`, so that the peer's FIN ends both sides.
 * - If the connection fails, the stream emits `'error'` with the connection's `SocketError`, after all received data.
 *   If a server reports this error in `incidents`, the stream needs no `'error'` listener.
 * - `end()` sends the FIN after everything written. All writes of one turn go out as one write. The callback of a write
 *   is called when the kernel has the bytes of that write. Do not change the bytes before the callback.
 * - `destroy()` sends everything written, and closes the connection gracefully (C11).
 * - `destroy(error)` resets the connection. But if the synchronous code that calls `destroy(error)` has just written
 *   data, everything written is sent, and the connection closes gracefully.
 * - `resetAndDestroy()` always resets the connection.
 * - When the server of the connection shuts down, the stream emits `'end'`. The shutdown waits until the program has
 *   ended or destroyed the stream (S7).
 * - While the stream's read buffer is full, the channel is held. While the channel is not writable, writes are queued.
 *
 * @param source - the source to read and write. For a connection or a client, the stream carries bytes and ignores the
 * codec. For a channel with a codec, each write is a message
 * @returns the stream
 * @throws `ERR_OPTION_INVALID` for a client that already has an open stream, and for an argument that is not a
 * connection, a client or a channel
 * @teardown the end of the stream closes the connection. If the source is a client without other subscribers, the
 * client then ends as well
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
