import type net from 'node:net';
import { ipFamily } from '../../address-parsing/ip.js';
import type { Address } from '../../address/address.js';
import { formatAddress } from '../../address/format-address.js';
import { SocketError } from '../../errors/socket-error.js';
import { nodeDns } from '../lazy-builtins.js';
import { tcpOption } from '../tcp-only-option.js';
import type { DialOptions, SocketOptions } from '../transport.js';

/** What Node is told of a TCP socket when it is made. */
export function tcpOptions(options: SocketOptions): net.SocketConstructorOpts & net.ServerOpts {
  const { noDelay, keepAlive } = options;
  // Linux counts in whole seconds, and takes 0 for its own default of two hours.
  return { noDelay, keepAlive: keepAlive > 0, keepAliveInitialDelay: Math.max(1_000, keepAlive) };
}

/** How long one of several addresses of a name is tried before the next one is, in ms; Node's 250 is less than some networks take. */
const attemptTimeout = 1_000;

/** What Node is told when it dials (K20). */
export function dialOptions(
  { host, port }: { readonly host: string; readonly port: number },
  { localAddress, localPort, family }: DialOptions,
): net.TcpSocketConnectOpts {
  const common = {
    host,
    port,
    autoSelectFamilyAttemptTimeout: attemptTimeout,
    ...(localPort > 0 ? { localPort } : {}),
  };
  // Node binds an address only where it dials one: that has to be of the same family.
  if (localAddress !== undefined) return { ...common, localAddress, family: ipFamily(localAddress) };
  if (family === undefined) return common;
  return {
    ...common,
    // Given the family itself, Node would dial the first address of a name and no other (K16).
    lookup: (name, options, done) => {
      nodeDns().lookup(name, { ...options, family, hints: 0 }, done);
    },
  };
}

/** Throws `ERR_OPTION_INVALID` where no attempt could ever be made from there, or in that family (A5, K20). */
export function checkDial(address: Address, options: DialOptions): void {
  const { localAddress, family } = options;
  if (address.transport !== 'tcp') {
    const option = tcpOption(options);
    if (option !== undefined)
      throw refusal(option, `only TCP has it, and ${formatAddress(address)} is not TCP`, address);
    return;
  }
  const dialled = ipFamily(address.host);
  if (dialled === undefined) return;
  if (localAddress !== undefined && ipFamily(localAddress) !== dialled) {
    throw refusal('localAddress', `from ${localAddress} nobody can dial ${address.host}, of IPv${dialled}`, address);
  }
  if (family !== undefined && family !== dialled) {
    throw refusal('family', `${address.host} is an address of IPv${dialled}, not of IPv${family}`, address);
  }
}

function refusal(option: string, why: string, address: Address): SocketError {
  return new SocketError('ERR_OPTION_INVALID', `${option}: ${why}`, { address });
}
