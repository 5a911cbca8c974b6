import { lines, mapCodec } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { allPlaces as places } from '../support/transport/places.js';
import { pairAt } from '../support/connection/connected-pairs.js';
import { record } from '../support/recording/record.js';
import { until } from '../support/scheduling/event-loop.js';

const long = 'x'.repeat(40_000);

describe.each(places)('an encoder that sends, over $name', (place) => {
  it('C1: a value that an encoder sends during a delivery goes out only on the connection of that encoder', async () => {
    let send: (value: string) => void = () => undefined;
    const codec = mapCodec(
      lines(),
      (line) => line,
      (value: string) => {
        // The encoder sends more than 32,768 bytes, which are flushed before the delivery ends (C3).
        if (value === 'outer') send(long);
        return value;
      },
    );
    const one = await pairAt(place, { codec });
    const other = await pairAt(place, { codec });
    const ones = record(one.far.data);
    const others = record(other.far.data);
    send = (value) => {
      one.near.data.next(value);
    };
    record(one.near.data, () => {
      one.near.data.next('outer');
      other.near.data.next('hello');
    });
    one.far.data.next('go');
    await until(() => ones.values.length > 0 && others.values.length > 0);
    one.near.data.next('last');
    await until(() => ones.values.includes('last'));
    expect(ones.values).toEqual([long, 'outer', 'last']);
    expect(others.values).toEqual(['hello']);
  });

  it('C5: `send` rejects with ERR_CLOSED if the encoder destroys the connection', async () => {
    let destroy: () => void = () => undefined;
    const codec = mapCodec(
      lines(),
      (line) => line,
      (value: string) => {
        destroy();
        return value;
      },
    );
    const { near } = await pairAt(place, { codec });
    destroy = () => {
      near.destroy();
    };
    await expect(near.data.send('never')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });
});
