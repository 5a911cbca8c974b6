import { Channel, host } from '../channel.js';
import type { Client } from '../client.js';
import type { Connection } from '../connection.js';
import { SocketError } from '../errors.js';
import { SocketStream } from './socket-stream.js';

/**
 * Gives a channel, a connection or a client the form of a `net.Socket`, for drivers and servers that take one.
 */
export function toNodeStream(
  source: Channel<Buffer, Uint8Array | string> | Connection<any, any> | Client<any, any>,
): SocketStream {
  if (source instanceof Channel) return new SocketStream(source);
  if (source instanceof Object && 'bytes' in source) return new SocketStream(source.bytes, source);
  if (source instanceof Object && source.data instanceof Channel) return new SocketStream(source.data, undefined, true);
  throw new SocketError('ERR_OPTION_INVALID', 'toNodeStream takes a channel, a connection or a client');
}
