import net from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Address } from '../../address/address.js';
import { systemError } from '../../errors/node-errors.js';
import { trustedPeers } from '../../proxy-protocol/trusted-peers.js';
import { bind, bindError, type FileBinding, hasFile } from './binding.js';
import { DescriptorMonitor } from './descriptor-monitor.js';
import { HandleSocket } from './handle-socket.js';
import { HandshakeGate } from './handshake-gate.js';
import type { Gate } from './internals/accept-gate.js';
import { acceptHandles, type StreamHandle, type StreamHandles } from './internals/stream-handle.js';
import { type NodeContext, NodeSocket } from './node-socket.js';
import {
  boundAddressOf,
  localAddressOf,
  localNameOf,
  remoteAddressOf,
  remoteNameOf,
  withTls,
} from './socket-addresses.js';
import { setTcpOptions, tcpOptions } from './tcp-options.js';
import { TlsAcceptor } from './tls/server-handshakes.js';
import type { Listener, ListenerEvents, ListenerOptions } from '../transport.js';

/** A listener on top of a `net.Server`. It accepts no clients while the process is short of file descriptors. */
export class NodeListener implements Listener {
  private readonly context: NodeContext;
  private readonly address: Address;
  private readonly events: ListenerEvents;
  private readonly isSecure: boolean;
  private readonly server: net.Server;
  private readonly acceptGate: Gate;
  private readonly handshakeGate: HandshakeGate;
  private readonly descriptors: DescriptorMonitor;
  private readonly options: ListenerOptions;
  private file: FileBinding | undefined;
  /** The local address of all connections, if they share one. Keeping it saves a system call for each connection. */
  private local: Address | undefined;
  private isHeld = false;
  /** Whether accepted sockets have the TCP options from the beginning. */
  private areOptionsSet: boolean;
  private takingHandles: Promise<void> | undefined;
  private closing: Promise<void> | undefined;

  constructor(context: NodeContext, address: Address, options: ListenerOptions, events: ListenerEvents) {
    const { tls, proxyProtocol, handshakeTimeout, maxConnections } = options;
    const { internals } = context;
    this.context = context;
    this.address = address;
    this.events = events;
    this.options = options;
    this.isSecure = tls !== undefined;
    this.server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, ...tcpOptions(options) });
    // Unix sockets have no such options. An inherited listening socket (`fd:`) is shared with other processes.
    this.areOptionsSet = address.transport === 'unix';
    this.acceptGate = internals.acceptGate(this.server, (handle) => {
      if (address.transport === 'tcp') this.areOptionsSet = setTcpOptions(handle, options);
    });
    this.descriptors = new DescriptorMonitor({
      onChange: () => {
        this.updateGate();
      },
      onShortage: (error) => {
        events.onIncident(error);
      },
    });
    this.handshakeGate = new HandshakeGate(
      {
        tls: tls === undefined ? undefined : new TlsAcceptor(tls, internals.tlsParents),
        trusted: proxyProtocol === undefined ? undefined : trustedPeers(proxyProtocol.trusted),
        handshakeTimeout,
        limit: maxConnections,
      },
      {
        onAdmitted: (raw, remote, secure) => {
          const local = this.local ?? this.markTls(localAddressOf(raw, address));
          events.onConnection(new NodeSocket(context, raw, { local, remote }, undefined, secure));
        },
        onRefused: (error) => {
          events.onIncident(error);
        },
      },
    );
    this.listen(options);
  }

  get stoppable(): boolean {
    return this.acceptGate.isEffective;
  }

  hold(): void {
    this.isHeld = true;
    this.updateGate();
  }

  release(): void {
    this.isHeld = false;
    this.updateGate();
  }

  private updateGate(): void {
    if (this.isHeld || this.descriptors.isShort) this.acceptGate.hold();
    else this.acceptGate.release();
  }

  close(): Promise<void> {
    this.closing ??= this.closeAll();
    return this.closing;
  }

  private get isClosed(): boolean {
    return this.closing !== undefined;
  }

  private async closeAll(): Promise<void> {
    this.descriptors.stop();
    this.handshakeGate.close();
    const fileClosed = this.file?.close();
    this.server.close();
    await fileClosed;
    // The self-test of handles may still have sockets open.
    await this.takingHandles;
    // libuv closes handles at the end of a turn of the event loop, after its immediates. So wait for the second
    // immediate.
    await nextTurn();
    await nextTurn();
  }

  private listen(options: ListenerOptions): void {
    const { address, server } = this;
    server.on('connection', (socket) => {
      this.accepted(socket);
    });
    server.on('error', (cause) => {
      if (!server.listening) this.failed(cause);
      else if (!this.isClosed) this.events.onIncident(systemError(cause, 'accept', address));
    });
    server.on('listening', () => {
      this.bound();
    });
    try {
      this.file = bind(server, address, options, {
        onPublished: () => {
          this.events.onListening(address);
        },
        onError: (cause) => {
          this.failed(cause);
        },
      });
    } catch (cause) {
      // A listener must not report an event within the call of `listen`, so report the error later.
      process.nextTick(() => {
        this.failed(cause);
      });
    }
  }

  private accepted(socket: net.Socket): void {
    if (this.isClosed) {
      socket.destroy();
      return;
    }
    this.descriptors.accepted(this.context.internals.descriptorOf(socket));
    this.handshakeGate.admit(socket, remoteAddressOf(socket, undefined, this.address));
  }

  private bound(): void {
    // Node binds the address even if the server was closed during the lookup of its host name, so close the server
    // again.
    if (this.isClosed) {
      this.server.close();
      return;
    }
    this.acceptGate.opened();
    this.descriptors.start();
    this.takingHandles = this.takeHandles();
    const local = this.markTls(boundAddressOf(this.server, this.address));
    if (local.transport !== 'tcp' || (this.address.transport === 'tcp' && isOneHost(local.host))) {
      this.local = Object.freeze(local);
    }
    // If the address has a socket file, `onPublished` calls `onListening` later.
    if (!hasFile(this.address)) this.events.onListening(local);
  }

  /** Accepts handles instead of sockets from now on, if they work, and if connections start without a handshake. */
  private async takeHandles(): Promise<void> {
    const { address, context, events, options, server } = this;
    if (options.tls !== undefined || options.proxyProtocol !== undefined) return;
    const handles = await context.internals.streamHandles();
    if (handles === undefined || this.isClosed) return;
    acceptHandles(
      server,
      (handle) => {
        this.acceptedHandle(handles, handle);
      },
      (error) => {
        if (!this.isClosed) events.onIncident(systemError(error, 'accept', address));
      },
    );
  }

  private acceptedHandle(handles: StreamHandles, handle: StreamHandle): void {
    if (this.isClosed) {
      handle.close();
      return;
    }
    this.descriptors.accepted(handle.fd);
    const { address, context, options } = this;
    const local = this.local ?? localAddressOf(localNameOf(handle), address);
    const remote = remoteAddressOf(remoteNameOf(handle), undefined, address);
    if (!this.areOptionsSet) setTcpOptions(handle, options);
    this.events.onConnection(new HandleSocket(context, handles, handle, { local, remote }, options));
  }

  private failed(cause: unknown): void {
    if (this.isClosed) return;
    void this.close();
    this.events.onError(bindError(cause, this.address));
  }

  private markTls(address: Address): Address {
    return this.isSecure ? withTls(address) : address;
  }
}

/** Whether all connections to a server that is bound to `host` have `host` as their local address. */
function isOneHost(host: string): boolean {
  return host !== '0.0.0.0' && host !== '::' && !host.startsWith('::ffff:');
}
