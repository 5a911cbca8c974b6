import { asapScheduler, asyncScheduler } from 'rxjs';
import { formatAddress } from '../../address/format-address.js';
import type { Address } from '../../address/address.js';
import { SocketError } from '../../errors/socket-error.js';
import { FlushScheduler } from '../../scheduling/flush-scheduler.js';
import { MemoryListener } from './memory-listener.js';
import {
  type Dial,
  type DialEvents,
  type DialOptions,
  type Listener,
  type ListenerEvents,
  type ListenerOptions,
  tcpOnlyOption,
  type Transport,
  type TransportSocket,
} from '../transport.js';

/** The first port that is given to clients, and to servers that ask for port 0: IANA's first dynamic port. */
const firstEphemeralPort = 49_152;

/**
 * Carries bytes within the process. All work runs on RxJS's schedulers, so within `TestScheduler.run`, time is virtual.
 */
export class MemoryTransport implements Transport {
  private readonly listeners = new Map<string, MemoryListener>();
  private readonly scheduler = new FlushScheduler(
    (work) => asapScheduler.schedule(work),
    (work) => asyncScheduler.schedule(work),
  );
  private named = 0;

  checkListen(address: Address, options: ListenerOptions): void {
    check(address, 'listen');
    refuse('tls', options.tls);
    refuse('proxyProtocol', options.proxyProtocol);
  }

  checkConnect(address: Address, options: DialOptions): void {
    check(address, 'connect');
    const option = tcpOnlyOption(options);
    if (option !== undefined) refuse(option, options);
    refuse('tls', options.tls);
  }

  listen(asked: Address, options: ListenerOptions, events: ListenerEvents): Listener {
    const address = asked.transport === 'tcp' && asked.port === 0 ? { ...asked, port: this.nextPort() } : asked;
    const key = formatAddress(address);
    if (this.listeners.has(key)) {
      const taken = new SocketError('EADDRINUSE', `listen at ${key}: EADDRINUSE (a server listens there)`, { address });
      const reporting = asapScheduler.schedule(() => {
        events.onError(taken);
      });
      return { hold: nothing, release: nothing, close: () => reporting.unsubscribe() };
    }
    const listener = new MemoryListener(address, options.backlog, this.scheduler, events, () =>
      this.listeners.delete(key),
    );
    this.listeners.set(key, listener);
    return listener;
  }

  connect(address: Address, _options: DialOptions, events: DialEvents): Dial {
    let abort: (() => void) | undefined;
    const refused = (): void => {
      const message = `connect to ${formatAddress(address)}: ECONNREFUSED (no server listens there)`;
      events.onError(new SocketError('ECONNREFUSED', message, { address }));
    };
    const dialling = asapScheduler.schedule(() => {
      const listener = this.listeners.get(formatAddress(address));
      const connected = (socket: TransportSocket): void => events.onConnect(socket);
      if (listener === undefined) refused();
      else abort = listener.enqueue({ name: this.dialler(address), connected, refused });
    });
    return {
      abort(): void {
        dialling.unsubscribe();
        abort?.();
      },
    };
  }

  /** Returns the local address of a client that dials `address`. */
  private dialler(address: Address): Address {
    switch (address.transport) {
      case 'tcp':
        return { ...address, port: this.nextPort() };
      case 'memory':
        return { transport: 'memory', name: `${address.name}#${++this.named}` };
      default:
        return { transport: 'unix', path: '' };
    }
  }

  private nextPort(): number {
    return firstEphemeralPort + (this.named++ % (65_536 - firstEphemeralPort));
  }
}

function check(address: Address, role: 'listen' | 'connect'): void {
  if (address.transport !== 'fd' && !(address.transport === 'tcp' && address.tls === true)) return;
  const message = `the memory transport can't ${role} at ${formatAddress(address)}`;
  throw new SocketError('ERR_ADDRESS_INVALID', message, { address });
}

function refuse(option: string, value: unknown): void {
  if (value !== undefined)
    throw new SocketError('ERR_OPTION_INVALID', `${option}: the memory transport does not support it`);
}

function nothing(): void {
  // The address was not bound, so there is no listener to hold or release.
}
