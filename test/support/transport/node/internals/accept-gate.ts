import { nodeTransport, type Transport } from 'rxjs-sockets';
import type { Place } from '../../places.js';

/** `place` with a transport whose listeners can be paused, so that clients wait in the kernel (S5). */
export function gated(place: Place): Place {
  if (place.options.transport !== undefined) return place;
  return { ...place, options: { ...place.options, transport: nodeTransport({ internals: true }) } };
}

/** `place` with a transport whose listeners cannot be paused, so that clients wait in the process (S5). */
export function ungated(place: Place): Place {
  const transport =
    place.options.transport === undefined ? nodeTransport({ internals: false }) : unpausable(place.options.transport);
  return { ...place, options: { ...place.options, transport } };
}

function unpausable(transport: Transport): Transport {
  return {
    checkListen: (address, options) => transport.checkListen(address, options),
    checkConnect: (address, options) => transport.checkConnect(address, options),
    connect: (address, options, events) => transport.connect(address, options, events),
    listen: (address, options, events) => {
      const listener = transport.listen(address, options, events);
      return { hold: nothing, release: nothing, close: () => listener.close() };
    },
  };
}

function nothing(): void {
  // This listener cannot be paused.
}
