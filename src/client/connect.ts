import { assertDialable, parseAddress } from '../address-parsing/parse-address.js';
import type { AddressInput } from '../address/address.js';
import type { ConnectOptions } from '../options/connect-options.js';
import { connectSettings } from '../options/settings.js';
import { nodeTransport } from '../transport/node/node-transport.js';
import { Client } from './client.js';
import { Session } from './session.js';

/**
 * Creates a client. The client dials on the first subscription to the client or to its `data`.
 *
 * Each attempt looks the host name up again. If the name has several addresses, the attempt tries one address after
 * another, alternating between IPv6 and IPv4. The attempt gives each address one second before it tries the next
 * address. `connectTimeout` limits the whole attempt. If all addresses fail, the error has the code of the first
 * failure, and its message lists all failures.
 *
 * @typeParam In - the values that the client receives
 * @typeParam Out - the values that the client sends
 * @param address - where to connect to. The default host is loopback. The port must be from 1 to 65,535
 * @param options - see {@link ConnectOptions}
 * @returns the client, which has not dialled yet
 * @throws `ERR_ADDRESS_INVALID` for a bad address, `ERR_OPTION_INVALID` for a bad option, and `ERR_CLOSED` if the
 * `signal` is already aborted. All other errors arrive as error notifications
 * @example
 * ```ts
 * const client = connect('tcp://localhost:7000', { codec: lines() });
 * client.data.subscribe((line) => console.log(line)); // subscribe = receive
 * client.data.next('hello'); // next = send
 * ```
 * @see https://man7.org/linux/man-pages/man2/connect.2.html, rules K1 and K16
 */
export function connect<In = Buffer, Out = Uint8Array | string>(
  address: AddressInput,
  options: ConnectOptions<In, Out> = {},
): Client<In, Out> {
  const where = parseAddress(address);
  assertDialable(where);
  const settings = connectSettings(options);
  const transport = settings.transport ?? nodeTransport();
  transport.checkConnect(where, settings);
  return new Client(new Session(where, settings, transport));
}
