import { backoff, type Connection } from 'rxjs-sockets';
import { lengthPrefixed } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { places } from '../support/transport/places.js';
import { until } from '../support/scheduling/event-loop.js';
import { onStage } from './stage.js';

const size = 10_000;
const count = 1_000;
/** The most bytes in one write: half the default high-water mark. */
const part = 32_768;

describe.each(places)('values of one turn that do not fit into one write, over $name', (place) => {
  it('K12: continue on the next connection with the first message whose write has not begun', () =>
    onStage(place, async (stage) => {
      const given: number[] = [];
      let first: Connection | undefined;
      const { address } = await stage.server(
        (connection) => {
          // The server does not read from the first connection.
          if (first === undefined) first = connection;
          else connection.data.subscribe({ next: (bytes) => given.push(bytes.readUInt32BE()), error: () => undefined });
        },
        { codec: lengthPrefixed() },
      );
      const client = stage.client(address, {
        codec: lengthPrefixed(),
        maxBuffered: 2 ** 24,
        reconnect: backoff({ initial: 1, max: 1, jitter: 0 }),
      });
      stage.add(client.subscribe());
      await until(() => first !== undefined);
      for (let number = 0; number < count; number++) {
        const message = Buffer.alloc(size - 4);
        message.writeUInt32BE(number);
        client.data.next(message);
      }
      // Waits until the kernel, or the memory transport, takes no more bytes.
      let waiting = -1;
      for (let same = 0; same < 20;) {
        await new Promise((resolve) => setImmediate(resolve));
        same = client.data.bufferedBytes === waiting ? same + 1 : 0;
        waiting = client.data.bufferedBytes;
      }
      expect(waiting).toBeGreaterThan(10 * part);
      first?.destroy();
      await until(() => given.at(-1) === count - 1);
      const expected = given.map((_, index) => count - given.length + index);
      expect(given).toEqual(expected);
      expect(given.length * size).toBeGreaterThan(waiting - part - 2 * size);
      expect(given.length * size).toBeLessThanOrEqual(waiting);
    }));
});
