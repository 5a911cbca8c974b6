import net from 'node:net';
import type { Address } from '../../address/address.js';
import { formatAddress } from '../../address/format-address.js';
import { SocketError } from '../../errors/socket-error.js';
import { nodeDns } from '../lazy-builtins.js';
import { type DialOptions, type SocketOptions, tcpOnlyOption } from '../transport.js';

/** Node's options of a TCP socket, accepted or dialled. */
export function tcpOptions({ noDelay, keepAlive }: SocketOptions): net.SocketConstructorOpts & net.ServerOpts {
  // Linux counts in whole seconds, and takes 0 for its own default of two hours.
  return { noDelay, keepAlive: keepAlive > 0, keepAliveInitialDelay: Math.max(1_000, keepAlive) };
}

/** How long to try one of several addresses of a name before the next one, in ms. Some networks take longer than Node's 250. */
const attemptTimeout = 1_000;

/** Node's options to dial over TCP (K20). */
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
  // Node binds the local address only if the dialled address is of the same family.
  if (localAddress !== undefined) return { ...common, localAddress, family: net.isIP(localAddress) };
  if (family === undefined) return common;
  return {
    ...common,
    // With the option `family`, Node would dial the first address of a name and no other (K16).
    lookup: (name, options, done) => {
      nodeDns().lookup(name, { ...options, family, hints: 0 }, done);
    },
  };
}

/** Throws `ERR_OPTION_INVALID` if no attempt to dial could ever succeed with these options (A5, K20). */
export function checkDial(address: Address, options: DialOptions): void {
  const { localAddress, family } = options;
  if (address.transport !== 'tcp') {
    const option = tcpOnlyOption(options);
    if (option === undefined) return;
    throw invalid(option, `only TCP has it, and ${formatAddress(address)} is not TCP`, address);
  }
  const dialled = net.isIP(address.host);
  if (dialled === 0) return;
  if (localAddress !== undefined && net.isIP(localAddress) !== dialled) {
    throw invalid('localAddress', `from ${localAddress} nobody can dial ${address.host}, of IPv${dialled}`, address);
  }
  if (family !== undefined && family !== dialled) {
    throw invalid('family', `${address.host} is an address of IPv${dialled}, not of IPv${family}`, address);
  }
}

function invalid(option: string, why: string, address: Address): SocketError {
  return new SocketError('ERR_OPTION_INVALID', `${option}: ${why}`, { address });
}
