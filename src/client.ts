import { Observable } from 'rxjs';
import { type AddressInput, assertDialable, parseAddress } from './address.js';
import type { Channel } from './channel.js';
import type { ConnectionState } from './client-state.js';
import { type ConnectOptions, connectSettings, transportOf } from './options.js';
import { Session } from './session.js';
import { nodeTransport } from './transport/node.js';

export function connect<In = Buffer, Out = Uint8Array | string>(
  address: AddressInput,
  options: ConnectOptions<In, Out> = {},
): Client<In, Out> {
  const where = parseAddress(address);
  assertDialable(where);
  const settings = connectSettings(options);
  const transport = transportOf(options, nodeTransport);
  transport.checkConnect(where, settings);
  return new Client(new Session(where, settings, transport));
}

export class Client<In, Out> extends Observable<ConnectionState<In, Out>> {
  readonly data: Channel<In, Out>;

  /** @internal */
  constructor(session: Session<In, Out>) {
    super((subscriber) => session.watch(subscriber));
    this.data = session.data;
  }
}
