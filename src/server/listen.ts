import { parseAddress } from '../address-parsing/parse-address.js';
import type { AddressInput } from '../address/address.js';
import { SocketError } from '../errors/socket-error.js';
import type { ListenOptions } from '../options/listen-options.js';
import { listenSettings } from '../options/settings.js';
import { nodeTransport } from '../transport/node/node-transport.js';
import { Acceptor } from './acceptor.js';
import { Server } from './server.js';

/**
 * Creates a server. The server binds its address on the first subscription.
 *
 * A host name is looked up each time the server binds. Only the first address found is bound. A server at `::` also
 * accepts IPv4 clients if the system supports both IPv6 and IPv4. On Linux and macOS, a port can be bound again right
 * after its previous server has closed (SO_REUSEADDR). Two servers can listen on the same host and port only if both
 * servers set `reusePort`.
 *
 * @typeParam In - the messages that the server's connections receive
 * @typeParam Out - the messages that the server's connections send
 * @param address - where to listen. The default host is loopback; port 0 selects a free port
 * @param options - see {@link ListenOptions}
 * @returns the server, a Flow of connections; the server is not bound yet
 * @throws `ERR_ADDRESS_INVALID`, `ERR_OPTION_INVALID`, and `ERR_CLOSED` if the `signal` is already aborted. System
 * errors, such as `EADDRINUSE`, are not thrown, but arrive as error notifications
 * @example
 * ```ts
 * const server = listen('tcp://localhost:7000', { codec: lines() });
 * server.subscribe(({ data }) => data.subscribe(data)); // an echo server, at each client's pace
 * ```
 * @see https://man7.org/linux/man-pages/man2/listen.2.html, rules S1 to S9
 */
export function listen<In = Buffer, Out = Uint8Array | string>(
  address: AddressInput,
  options: ListenOptions<In, Out> = {},
): Server<In, Out> {
  const where = parseAddress(address);
  const settings = listenSettings(options);
  const transport = settings.transport ?? nodeTransport();
  // `settings.mode` is never undefined, so check `options` to see whether the caller has set `mode`.
  if (where.transport === 'unix' && where.path.startsWith('\0') && options.mode !== undefined) {
    throw new SocketError('ERR_OPTION_INVALID', 'mode: an abstract name has no permissions', { address: where });
  }
  transport.checkListen(where, settings);
  return new Server(new Acceptor(where, settings, transport));
}
