import net from 'node:net';
import { onTestFinished } from 'vitest';
import type { Place } from '../../places.js';

/** The same place in a runtime in which no listener can be stopped (S5), until the end of the test. */
export function ungated(place: Place): Place {
  const { transport } = place.options;
  if (transport === undefined) {
    breakGate();
    return place;
  }
  return {
    ...place,
    options: {
      transport: {
        checkListen: (address, options) => transport.checkListen(address, options),
        checkConnect: (address, options) => transport.checkConnect(address, options),
        connect: (address, options, events) => transport.connect(address, options, events),
        listen: (address, options, events) => {
          const listener = transport.listen(address, options, events);
          return { hold: nothing, release: nothing, close: () => listener.close() };
        },
      },
    },
  };
}

/** Takes away what the accept gate is built on. */
function breakGate(): void {
  const inside = net as unknown as { _createServerHandle?: unknown };
  const original = inside._createServerHandle;
  inside._createServerHandle = undefined;
  onTestFinished(() => {
    inside._createServerHandle = original;
  });
}

function nothing(): void {
  // no way to do it
}
