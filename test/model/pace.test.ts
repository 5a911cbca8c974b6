import fc from 'fast-check';
import { concatMapPaced } from 'rxjs-sockets';
import { lengthPrefixed } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { places } from '../support/transport/places.js';
import { pairAt } from '../support/connection/connected-pairs.js';

type Bytes = Uint8Array | string;

const readAhead = 65_536;
const chunk = 65_536;

/** How many turns the consumer waits after each message before it takes the next message. */
const paces = fc.array(fc.nat(3), { minLength: 1, maxLength: 10 });

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

describe.each(places)('a paced consumer over $name', (place) => {
  const frame = 4 + 20_000;

  it('F3: at any pace, the process of the consumer buffers at most the read-ahead, one chunk and one frame', async () => {
    await fc.assert(
      fc.asyncProperty(paces, fc.integer({ min: 1, max: 20_000 }), async (pace, size) => {
        const { near, far } = await pairAt<Buffer, Bytes>(place, { codec: lengthPrefixed() });
        const count = Math.min(400, Math.ceil(3_000_000 / size));
        let produced = 0;
        let mostUnsent = 0;
        function* source(): Generator<Buffer> {
          while (produced < count) {
            mostUnsent = Math.max(mostUnsent, near.data.bufferedBytes);
            produced++;
            yield Buffer.alloc(size);
          }
        }
        near.data.sendFrom(source()).subscribe({ complete: () => near.data.complete() });
        let consumed = 0;
        let mostWaiting = 0;
        for await (const message of far.data) {
          consumed += 4 + message.length;
          mostWaiting = Math.max(mostWaiting, far.stats.bytesRead - consumed);
          await turns(pace[consumed % pace.length] ?? 0);
          mostWaiting = Math.max(mostWaiting, far.stats.bytesRead - consumed);
        }
        expect(consumed).toBe(count * (4 + size));
        expect(mostWaiting).toBeLessThanOrEqual(readAhead + chunk + frame);
        // The sender had to wait, so its unsent bytes stayed within `highWaterMark` and one message.
        expect(mostUnsent).toBeLessThanOrEqual(65_536 + frame);
        near.destroy();
        far.destroy();
      }),
      { numRuns: 15 },
    );
  });

  it('C4: a paced consumer behind a paced relay slows down the original sender, so that nothing piles up on either side of the relay', async () => {
    const left = await pairAt<Buffer, Bytes>(place, { codec: lengthPrefixed() });
    const right = await pairAt<Buffer, Bytes>(place, { codec: lengthPrefixed() });
    left.far.data.subscribe(right.near.data);
    const size = 10_000;
    const count = 600;
    left.near.data
      .sendFrom(Array.from({ length: count }, () => Buffer.alloc(size)))
      .subscribe({ complete: () => left.near.data.complete() });
    let received = 0;
    let most = 0;
    await new Promise<void>((resolve, reject) => {
      right.far.data
        .pipe(
          concatMapPaced(async () => {
            await turns(1);
            most = Math.max(
              most,
              right.near.data.bufferedBytes,
              left.far.stats.bytesRead - right.near.stats.bytesWritten,
            );
            received++;
          }),
        )
        .subscribe({ complete: resolve, error: reject });
    });
    expect(received).toBe(count);
    expect(most).toBeLessThanOrEqual(readAhead + chunk + 65_536 + 2 * frame);
  });
});
