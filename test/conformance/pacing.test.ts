import { lastValueFrom, map } from 'rxjs';
import { sendTo } from 'rxjs-sockets';
import { describe, expect, it } from 'vitest';
import { pairAt, places } from '../support/places.js';

describe.each(places)('a paced sender over $name', (place) => {
  it('C5: never overflows, however small maxBuffered is, and however large its values', async () => {
    const { near, far } = await pairAt(place, { maxBuffered: 10_000 });
    const values = Array.from({ length: 400 }, (_, i) => Buffer.alloc(7_000 + ((i * 7_919) % 20_000)));
    const size = values.reduce((sum, value) => sum + value.length, 0);
    let most = 0;
    const sent = lastValueFrom(
      near.data.sendFrom(
        (function* () {
          for (const value of values) {
            yield value;
            most = Math.max(most, near.data.bufferedBytes);
          }
        })(),
      ),
      { defaultValue: 'flushed' },
    );
    let received = 0;
    for await (const chunk of far.data) {
      received += chunk.length;
      if (received === size) break;
    }
    expect(await sent).toBe('flushed');
    // C4: the bound and one value.
    expect(most).toBeLessThanOrEqual(10_000 + 27_000);
  });

  it('C7: completes what a channel sends of its own data when the peer finishes, without halfOpen too', async () => {
    for (const send of [true, false]) {
      const { near, far } = await pairAt(place, { halfOpen: false });
      const echo = send ? near.data.sendFrom(near.data) : near.data.pipe(map(String), sendTo(near.data));
      const done = lastValueFrom(echo, { defaultValue: 'flushed' });
      far.data.next('x'.repeat(300_000));
      far.data.complete();
      let received = 0;
      for await (const chunk of far.data) received += chunk.length;
      expect(received).toBe(300_000);
      expect(await done).toBe('flushed');
    }
  });
});
