import net from 'node:net';
import { formatAddress } from '../../address/format-address.js';
import type { Address } from '../../address/address.js';
import { SocketError } from '../../errors/socket-error.js';
import { systemError } from '../../errors/node-errors.js';
import { localName, remoteName, withTls } from './socket-addresses.js';
import { NodeListener } from './node-listener.js';
import { NodeSocket } from './node-socket.js';
import { checkDial, dialOptions, tcpOptions } from './tcp-options.js';
import { handshakeError, type Secured, secureClient, TlsAcceptor } from './tls/handshake.js';
import { checkClientTls } from './tls/check-tls-options.js';
import type { Dial, DialEvents, DialOptions, Transport } from '../transport.js';

/** Node's own sockets: TCP and unix, with TLS or without. */
export const nodeTransport: Transport = {
  checkListen(address, options) {
    if (address.transport === 'memory') throw unusable(address, 'listen');
    if (options.tls !== undefined) new TlsAcceptor(options.tls).prepare();
    else if (address.transport === 'tcp' && address.tls === true) {
      throw new SocketError('ERR_OPTION_INVALID', 'tls: a server at a tls:// address needs the option', { address });
    }
    if (options.reusePort && !canReusePort()) {
      throw new SocketError('ERR_OPTION_INVALID', 'reusePort needs Node 22.12 or 23.1, or later', { address });
    }
  },
  checkConnect(address, options) {
    if (address.transport === 'memory' || address.transport === 'fd') throw unusable(address, 'connect');
    checkDial(address, options);
    if (options.tls !== undefined) checkClientTls(options.tls);
  },
  listen(address, options, events) {
    return new NodeListener(address, options, events);
  },
  connect,
};

function connect(address: Address, options: DialOptions, events: DialEvents): Dial {
  const secure = options.tls !== undefined || (address.transport === 'tcp' && address.tls === true);
  const raw = new net.Socket({ allowHalfOpen: true, ...(address.transport === 'tcp' ? tcpOptions(options) : {}) });
  // Nothing is read before the connection is opened.
  raw.pause();
  let state: 'dialling' | 'securing' | 'done' = 'dialling';
  const action = `connect to ${formatAddress(address)}`;
  const failed = (error: SocketError): void => {
    if (state === 'done') return;
    state = 'done';
    raw.destroy();
    events.onError(error);
  };
  const onError = (cause: unknown): void => {
    failed(state === 'securing' ? handshakeError(cause, action, address) : systemError(cause, action, address));
  };
  const done = (connected: () => NodeSocket): void => {
    if (state === 'done') return;
    state = 'done';
    raw.off('error', onError);
    events.onConnect(connected());
  };
  const local = (): Address => localName(raw, { transport: 'unix', path: '' });
  raw.on('error', onError);
  raw.on('connect', () => {
    if (!secure) {
      done(() => new NodeSocket(raw, local(), remoteName(raw, address), address));
      return;
    }
    state = 'securing';
    const secured = (made: Secured): void => {
      done(() => new NodeSocket(raw, local(), withTls(remoteName(raw, address)), address, made));
    };
    secureClient(raw, options.tls ?? {}, address, { secured, failed }, action);
  });
  if (address.transport === 'unix') raw.connect({ path: address.path });
  else if (address.transport === 'tcp') raw.connect(dialOptions(address, options));
  return {
    abort(): void {
      state = 'done';
      raw.destroy();
    },
  };
}

function unusable(address: Address, role: 'listen' | 'connect'): SocketError {
  return new SocketError('ERR_ADDRESS_INVALID', `Node's sockets can't ${role} at ${formatAddress(address)}`, {
    address,
  });
}

/** Node takes the option without a word where it does not know it, and nothing tells afterwards whether it was heeded. */
function canReusePort(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  return major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12);
}
