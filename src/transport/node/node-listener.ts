import net from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Address } from '../../address/address.js';
import { systemError } from '../../errors/node-errors.js';
import { trustedPeers } from '../../proxy-protocol/trusted-peers.js';
import { AcceptGate } from './internals/accept-gate.js';
import { HandshakeGate } from './handshake-gate.js';
import { bindError } from './bind-error.js';
import { DescriptorMonitor } from './descriptor-monitor.js';
import { bindFile, type FileBinding, isFile } from './unix/file-binding.js';
import { countAccepted } from './internals/hidden-reset.js';
import { listenInherited } from './unix/inherited-socket.js';
import type { UnixAddress } from './unix/socket-path.js';
import { boundName, localName, remoteName, withTls } from './socket-addresses.js';
import { NodeSocket } from './node-socket.js';
import { tcpOptions } from './tcp-options.js';
import { TlsAcceptor } from './tls/handshake.js';
import type { Listener, ListenerEvents, ListenerOptions } from '../transport.js';

/** One `net.Server`: what it accepts passes the {@link HandshakeGate}, as long as descriptors are left. */
export class NodeListener implements Listener {
  private readonly address: Address;
  private readonly events: ListenerEvents;
  private readonly secure: boolean;
  private readonly server: net.Server;
  private readonly gate: AcceptGate;
  private readonly admission: HandshakeGate;
  private readonly descriptors: DescriptorMonitor;
  private file: FileBinding | undefined;
  /** The name of this end of every connection, where there is only one: the system needn't be asked for each. */
  private local: Address | undefined;
  private held = false;
  private closing: Promise<void> | undefined;

  constructor(address: Address, options: ListenerOptions, events: ListenerEvents) {
    const { tls, proxyProtocol, handshakeTimeout, maxConnections } = options;
    this.address = address;
    this.events = events;
    this.secure = tls !== undefined;
    this.server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, ...tcpOptions(options) });
    this.gate = new AcceptGate(this.server);
    this.descriptors = new DescriptorMonitor({
      changed: () => {
        this.regulate();
      },
      told: (error) => {
        this.events.onIncident(error);
      },
    });
    this.admission = new HandshakeGate(
      {
        tls: tls === undefined ? undefined : new TlsAcceptor(tls),
        trusted: proxyProtocol === undefined ? undefined : trustedPeers(proxyProtocol.trusted),
        handshakeTimeout,
        most: maxConnections,
      },
      {
        admitted: (raw, remote, secured) => {
          const local = this.local ?? this.named(localName(raw, address));
          events.onConnection(new NodeSocket(raw, local, remote, undefined, secured));
        },
        refused: (error) => {
          events.onIncident(error);
        },
      },
    );
    this.listen(options);
  }

  get stoppable(): boolean {
    return this.gate.isEffective;
  }

  hold(): void {
    this.held = true;
    this.regulate();
  }

  release(): void {
    this.held = false;
    this.regulate();
  }

  close(): Promise<void> {
    this.closing ??= this.shut();
    return this.closing;
  }

  private get closed(): boolean {
    return this.closing !== undefined;
  }

  private async shut(): Promise<void> {
    this.descriptors.stop();
    this.admission.close();
    // Before the server: as long as it listens its file is not stale for others.
    const unbound = this.file?.close();
    this.server.close();
    await unbound;
    // Handles are given back when the event loop has gone round; an immediate comes just before that.
    await nextTurn();
    await nextTurn();
  }

  private listen(options: ListenerOptions): void {
    const { address, server } = this;
    const { backlog, reusePort } = options;
    server.on('connection', (socket) => {
      countAccepted();
      if (this.closed) {
        socket.destroy();
        return;
      }
      this.descriptors.accepted(socket);
      this.admission.admit(socket, remoteName(socket, undefined, address));
    });
    server.on('error', (cause) => {
      if (!server.listening) this.failed(cause);
      else if (!this.closed) this.events.onIncident(systemError(cause, 'accept', address));
    });
    server.on('listening', () => {
      this.bound();
    });
    try {
      if (address.transport === 'fd') listenInherited(server, address.fd, backlog, options);
      else if (address.transport === 'tcp') {
        server.listen({ host: address.host, port: address.port, backlog, ...(reusePort ? { reusePort } : {}) });
      } else if (address.transport === 'unix' && !isFile(address)) server.listen({ path: address.path, backlog });
      else if (address.transport === 'unix') this.bindFile(address, options);
    } catch (cause) {
      // Told as Node tells what it finds itself: not within this call.
      process.nextTick(() => {
        this.failed(cause);
      });
    }
  }

  private bindFile(address: UnixAddress, options: ListenerOptions): void {
    const published = (): void => {
      this.events.onListening(address);
    };
    const failed = (cause: unknown): void => {
      this.failed(cause);
    };
    this.file = bindFile(this.server, address, options, published, failed);
  }

  private bound(): void {
    // A name that was looked up is bound even though the server was closed meanwhile.
    if (this.closed) {
      this.server.close();
      return;
    }
    this.gate.opened();
    this.descriptors.start();
    const name = this.named(boundName(this.server, this.address));
    if (name.transport !== 'tcp' || (this.address.transport === 'tcp' && isOneHost(name.host)))
      this.local = Object.freeze(name);
    // A file is reachable later, under its own name.
    if (!isFile(this.address)) this.events.onListening(name);
  }

  private failed(cause: unknown): void {
    if (this.closed) return;
    void this.close();
    this.events.onError(bindError(cause, this.address));
  }

  private regulate(): void {
    if (this.held || this.descriptors.isShort) this.gate.hold();
    else this.gate.release();
  }

  private named(address: Address): Address {
    return this.secure ? withTls(address) : address;
  }
}

/** Whether connections to a socket that is bound to `host` can only be to that address, under that name. */
function isOneHost(host: string): boolean {
  return host !== '0.0.0.0' && host !== '::' && !host.startsWith('::ffff:');
}
