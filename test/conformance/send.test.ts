import { connect } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { allPlaces as places } from '../support/transport/places.js';
import { pairAt } from '../support/connection/connected-pairs.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';

const codec = lines();

describe.each(places)('send, over $name', (place) => {
  it('C5: calls of `send` settle in order, and a loop that awaits `send` runs at the pace of the peer', async () => {
    const { near, far } = await pairAt(place, { maxBuffered: 200_000 });
    let most = 0;
    let size = 0;
    const received = record(far.data, (chunk) => (size += chunk.length));
    for (let index = 0; index < 3_000; index++) {
      await near.data.send(Buffer.alloc(10_000));
      most = Math.max(most, near.data.bufferedBytes);
    }
    near.data.complete();
    await received.end();
    expect(size).toBe(30_000_000);
    expect(most).toBeLessThanOrEqual(75_536);
  });

  it('C5: `send` waits while the peer does not read, and resolves when the peer reads again', async () => {
    const { near, far } = await pairAt(place, { maxBuffered: 1 << 24 });
    const hold = far.data.hold();
    record(far.data);
    let settled = false;
    const sending = near.data.send(Buffer.alloc(1 << 23)).then(() => (settled = true));
    await until(() => far.stats.bytesRead >= 65_536);
    await turns();
    expect(settled).toBe(false);
    hold.release();
    await sending;
  });

  it('C5: a `send` that is called before the connection opens resolves when the connection is open, and rejects if the connection never opens', async () => {
    const { near, far } = await pairAt(place, { codec });
    const client = connect<string, string>(near.remote, { ...place.options, codec });
    const subscription = client.subscribe();
    await client.data.send('early');
    subscription.unsubscribe();
    far.destroy();
    const lost = connect<string, string>(near.remote, { ...place.options, codec });
    const losing = lost.subscribe();
    const sending = lost.data.send('never written');
    losing.unsubscribe();
    await expect(sending).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });
});
