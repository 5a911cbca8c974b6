import { assertDialable, parseAddress } from '../address-parsing/parse-address.js';
import type { AddressInput } from '../address/address.js';
import type { ConnectOptions } from '../options/connect-options.js';
import { connectSettings } from '../options/settings.js';
import { nodeTransport } from '../transport/node/node-transport.js';
import { Client } from './client.js';
import { Session } from './session.js';

/**
 * Creates a client, which dials its address when somebody subscribes to it or to its `data`.
 *
 * @typeParam In - the values that it receives
 * @typeParam Out - the values that it sends
 * @param address - where to connect to. An omitted host means loopback; a port is from 1 to 65,535
 * @param options - see {@link ConnectOptions}
 * @returns the client, an Observable of its state. It has not dialled yet
 * @throws `ERR_ADDRESS_INVALID` and `ERR_OPTION_INVALID`, synchronously. All other errors are notifications
 * @example
 * ```ts
 * const client = connect('tcp://localhost:7000', { codec: lines() });
 * client.data.subscribe((line) => console.log(line)); // subscribe = receive
 * client.data.next('hello'); // next = send
 * ```
 * @see https://man7.org/linux/man-pages/man2/connect.2.html, rule K1
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
