import net from 'node:net';
import type { Address } from '../../address/address.js';
import { formatAddress } from '../../address/format-address.js';
import { SocketError } from '../../errors/socket-error.js';
import { nodeDns } from '../lazy-builtins.js';
import type { StreamHandle } from './internals/stream-handle.js';
import { type DialOptions, type SocketOptions, tcpOnlyOption } from '../transport.js';

/** The options of a TCP socket, as Node names them. The delay is in ms. */
interface TcpOptions {
  readonly noDelay: boolean;
  readonly keepAlive: boolean;
  readonly keepAliveInitialDelay: number;
}

export function tcpOptions({ noDelay, keepAlive }: SocketOptions): TcpOptions {
  // The delay is set in whole seconds, and 0 would select Linux's default of two hours. So the delay is at least one
  // second.
  return { noDelay, keepAlive: keepAlive > 0, keepAliveInitialDelay: Math.max(1_000, keepAlive) };
}

/**
 * Sets the options of a TCP socket on its handle. On Linux, an accepted socket inherits the options that its listening
 * socket had when the client connected.
 *
 * @returns false if they could not be set
 */
export function setTcpOptions(
  handle: Pick<StreamHandle, 'setNoDelay' | 'setKeepAlive'>,
  options: SocketOptions,
): boolean {
  const { noDelay, keepAlive, keepAliveInitialDelay } = tcpOptions(options);
  const seconds = Math.trunc(keepAliveInitialDelay / 1_000);
  return handle.setNoDelay?.(noDelay) === 0 && handle.setKeepAlive?.(keepAlive, seconds) === 0;
}

/**
 * How long to try one address of a host name before the next one, in ms. Node's default of 250 is too short for some
 * networks.
 */
const attemptTimeout = 1_000;

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
  // Node binds the local address only if the dialled address is of the same family, so dial only that family.
  if (localAddress !== undefined) return { ...common, localAddress, family: net.isIP(localAddress) };
  if (family === undefined) return common;
  return {
    ...common,
    // With the option `family`, Node would dial only the first address of a name (K16), so select the family in the
    // lookup instead.
    lookup: (name, options, done) => {
      nodeDns().lookup(name, { ...options, family, hints: 0 }, done);
    },
  };
}

/** Throws `ERR_OPTION_INVALID` for options that can never work (A5, K20). */
export function checkDial(address: Address, options: DialOptions): void {
  const { localAddress, family } = options;
  if (address.transport !== 'tcp') {
    const option = tcpOnlyOption(options);
    if (option === undefined) return;
    throw invalid(option, `it applies only to TCP, and ${formatAddress(address)} is not a TCP address`, address);
  }
  const dialled = net.isIP(address.host);
  if (dialled === 0) return;
  if (localAddress !== undefined && net.isIP(localAddress) !== dialled) {
    throw invalid('localAddress', `${localAddress} cannot dial ${address.host}, an IPv${dialled} address`, address);
  }
  if (family !== undefined && family !== dialled) {
    throw invalid('family', `${address.host} is an IPv${dialled} address, not IPv${family}`, address);
  }
}

function invalid(option: string, why: string, address: Address): SocketError {
  return new SocketError('ERR_OPTION_INVALID', `${option}: ${why}`, { address });
}
