import type { Observable, Subscriber, TeardownLogic } from 'rxjs';
import { Acceptor } from './acceptor.js';
import { type Address, type AddressInput, parseAddress } from './address.js';
import type { Connection } from './connection.js';
import { SocketError } from './errors.js';
import { Flow } from './flow.js';
import type { Hold } from './hold.js';
import { type ListenOptions, listenSettings, transportOf } from './options.js';
import { nodeTransport } from './transport/node.js';

export function listen<In = Buffer, Out = Uint8Array | string>(
  address: AddressInput,
  options: ListenOptions<In, Out> = {},
): Server<In, Out> {
  const where = parseAddress(address);
  const settings = listenSettings(options);
  const transport = transportOf(options, nodeTransport);
  // What an abstract name has no use for is refused where it was given, not where it is the default.
  if (where.transport === 'unix' && where.path.startsWith('\0') && options.mode !== undefined) {
    throw new SocketError('ERR_OPTION_INVALID', 'mode: an abstract name has no permissions', { address: where });
  }
  transport.checkListen(where, settings);
  return new Server(new Acceptor(where, settings, transport));
}

export class Server<In, Out> extends Flow<Connection<In, Out>> {
  private readonly acceptor: Acceptor<In, Out>;

  /** @internal */
  constructor(acceptor: Acceptor<In, Out>) {
    super();
    this.acceptor = acceptor;
  }

  get listening(): Observable<Address> {
    return this.acceptor.listening;
  }

  get connections(): ReadonlySet<Connection<In, Out>> {
    return this.acceptor.connections;
  }

  get incidents(): Observable<SocketError> {
    return this.acceptor.incidents;
  }

  shutdown(options: { readonly deadline?: number } = {}): Promise<void> {
    return this.acceptor.shutdown(options.deadline);
  }

  override hold(): Hold {
    return this.acceptor.multicast.hold();
  }

  protected override _subscribe(subscriber: Subscriber<Connection<In, Out>>): TeardownLogic {
    return this.acceptor.multicast.add(subscriber);
  }
}
