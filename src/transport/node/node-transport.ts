import net from 'node:net';
import { formatAddress } from '../../address/format-address.js';
import type { Address } from '../../address/address.js';
import { SocketError } from '../../errors/socket-error.js';
import { systemError } from '../../errors/node-errors.js';
import { checkExactOptions, flag, withDefault } from '../../validation/checks.js';
import { nodeInternals, publicApiOnly } from './internals/internals.js';
import { NodeListener } from './node-listener.js';
import { type NodeContext, NodeSocket } from './node-socket.js';
import { localAddressOf, remoteAddressOf, withTls } from './socket-addresses.js';
import { checkDial, dialOptions, tcpOptions } from './tcp-options.js';
import { checkClientTls } from './tls/check-tls-options.js';
import { secureClient } from './tls/client-handshake.js';
import type { SecureSocket } from './tls/handshake.js';
import { TlsAcceptor, TlsAcceptors } from './tls/server-handshakes.js';
import { handshakeError } from './tls/tls-errors.js';
import type {
  Dial,
  DialEvents,
  DialOptions,
  Listener,
  ListenerEvents,
  ListenerOptions,
  Transport,
} from '../transport.js';

/** Configures {@link nodeTransport}. */
export interface NodeTransportOptions {
  /**
   * Whether the transport is allowed to use internals of Node for which there is no public API. The transport tests
   * each internal before use, and works without the internals that this version of Node lacks.
   *
   * @defaultValue `true`
   */
  readonly internals?: boolean | undefined;
}

/**
 * Carries bytes over Node's own sockets: TCP and unix, with or without TLS. Without the option `transport`, `listen`
 * and `connect` use the transport that `nodeTransport()` returns.
 *
 * With `internals: false`, the transport uses only Node's public API. The consequences are:
 *
 * - A held server still accepts up to `acceptQueue` clients. These clients wait in the process instead of in the
 *   kernel.
 * - Each chunk is read into new memory, so reading is slower.
 * - An accepted connection takes more time and memory.
 * - `bufferedBytes` falls only when the kernel has taken a complete write.
 * - A reset right after the last bytes counts as the end of the stream. With TLS, a FIN without a close_notify also
 *   counts as the end.
 * - A shortage of file descriptors may be detected later.
 *
 * @param options - see {@link NodeTransportOptions}
 * @returns the transport. Calls with the same options return the same transport
 * @throws `ERR_OPTION_INVALID` for an invalid or unknown option
 * @example
 * ```ts
 * const transport = nodeTransport({ internals: false });
 * const server = listen('tcp://localhost:7000', { codec: lines(), transport });
 * const client = connect('tcp://localhost:7000', { codec: lines(), transport });
 * ```
 * @see rules C4, C8, S5, S15 and T5
 */
export function nodeTransport(options: NodeTransportOptions = {}): Transport {
  const { internals } = checkExactOptions('nodeTransport', checks, options);
  if (internals) return (withInternals ??= new NodeTransport(nodeInternals));
  return (withoutInternals ??= new NodeTransport(publicApiOnly));
}

const checks = { internals: withDefault(flag, true) };

let withInternals: Transport | undefined;
let withoutInternals: Transport | undefined;

class NodeTransport implements Transport {
  private readonly context: NodeContext;

  constructor(internals: NodeContext['internals']) {
    this.context = { internals, acceptors: new TlsAcceptors(internals.tlsParents) };
  }

  checkListen(address: Address, options: ListenerOptions): void {
    if (address.transport === 'memory') throw unusable(address, 'listen');
    if (options.tls !== undefined) new TlsAcceptor(options.tls, this.context.internals.tlsParents).prepare();
    else if (address.transport === 'tcp' && address.tls === true) {
      throw new SocketError('ERR_OPTION_INVALID', 'tls: a server at a tls:// address needs this option', { address });
    }
    if (options.reusePort && !canReusePort()) {
      throw new SocketError('ERR_OPTION_INVALID', 'reusePort needs Node 22.12 or 23.1, or later', { address });
    }
  }

  checkConnect(address: Address, options: DialOptions): void {
    if (address.transport === 'memory' || address.transport === 'fd') throw unusable(address, 'connect');
    checkDial(address, options);
    if (options.tls !== undefined) checkClientTls(options.tls);
  }

  listen(address: Address, options: ListenerOptions, events: ListenerEvents): Listener {
    return new NodeListener(this.context, address, options, events);
  }

  connect(address: Address, options: DialOptions, events: DialEvents): Dial {
    return new NodeDial(this.context, address, options, events);
  }
}

/** An attempt to connect, including the TLS handshake if the connection uses TLS. */
class NodeDial implements Dial {
  private readonly context: NodeContext;
  private readonly address: Address;
  private readonly options: DialOptions;
  private readonly events: DialEvents;
  private readonly raw: net.Socket;
  private state: 'dialling' | 'securing' | 'done' = 'dialling';

  constructor(context: NodeContext, address: Address, options: DialOptions, events: DialEvents) {
    this.context = context;
    this.address = address;
    this.options = options;
    this.events = events;
    const raw = new net.Socket({ allowHalfOpen: true, ...(address.transport === 'tcp' ? tcpOptions(options) : {}) });
    this.raw = raw;
    // The socket stays paused until `NodeSocket.open` is called.
    raw.pause();
    raw.on('error', this.onError);
    raw.on('connect', this.onConnect);
    if (address.transport === 'unix') raw.connect({ path: address.path });
    else if (address.transport === 'tcp') raw.connect(dialOptions(address, options));
  }

  abort(): void {
    this.state = 'done';
    this.raw.destroy();
  }

  private readonly onConnect = (): void => {
    const { address, options } = this;
    if (options.tls === undefined && !(address.transport === 'tcp' && address.tls === true)) {
      this.succeed(undefined);
      return;
    }
    this.state = 'securing';
    const events = {
      onSecure: (secure: SecureSocket): void => {
        this.succeed(secure);
      },
      onError: (error: SocketError): void => {
        this.fail(error);
      },
    };
    secureClient(this.raw, options.tls ?? {}, address, events, this.action);
  };

  private readonly onError = (cause: unknown): void => {
    const { action, address } = this;
    const isOfTls = this.state === 'securing';
    this.fail(isOfTls ? handshakeError(cause, action, address) : systemError(cause, action, address));
  };

  private succeed(secure: SecureSocket | undefined): void {
    if (this.state === 'done') return;
    this.state = 'done';
    const { raw, address } = this;
    raw.off('error', this.onError);
    const remote = remoteAddressOf(raw, address);
    const addresses = {
      local: localAddressOf(raw, { transport: 'unix', path: '' }),
      remote: secure === undefined ? remote : withTls(remote),
    };
    this.events.onConnect(new NodeSocket(this.context, raw, addresses, address, secure));
  }

  private fail(error: SocketError): void {
    if (this.state === 'done') return;
    this.state = 'done';
    this.raw.destroy();
    this.events.onError(error);
  }

  private get action(): string {
    return `connect to ${formatAddress(this.address)}`;
  }
}

function unusable(address: Address, role: 'listen' | 'connect'): SocketError {
  const message = `Node's sockets can't ${role} at ${formatAddress(address)}`;
  return new SocketError('ERR_ADDRESS_INVALID', message, { address });
}

/** Versions of Node without `reusePort` ignore the option silently, so this function checks the version. */
function canReusePort(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  return major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12);
}
