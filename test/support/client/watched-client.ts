import { type Address, type Client, connect, type ConnectionState, type ConnectOptions } from 'rxjs-sockets';
import { onTestFinished } from 'vitest';
import { type Recording, record } from '../recording/record.js';
import type { Place } from '../transport/places.js';

/** Returns a function that makes clients for servers at this place. */
export function dialler(place: Place) {
  return <In = Buffer, Out = Uint8Array | string>(
    address: Address,
    options: ConnectOptions<In, Out> = {},
  ): Client<In, Out> => connect<In, Out>(address, { ...place.options, ...options });
}

/** Subscribes to a client until the test ends, and records its states. */
export function watch<In, Out>(client: Client<In, Out>): Recording<ConnectionState<In, Out>> {
  const states = record(client);
  onTestFinished(() => states.subscription.unsubscribe());
  return states;
}
