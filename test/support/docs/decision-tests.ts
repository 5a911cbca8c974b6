import type { AddressInput } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import type { Place } from '../transport/places.js';

export const text = { codec: lines() };

/** An address that can be dialled, but at which no server listens. */
export async function addressOf(place: Place): Promise<AddressInput> {
  return place.name === 'tcp' ? { port: 1 } : place.address();
}
