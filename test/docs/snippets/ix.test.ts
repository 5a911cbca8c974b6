import '../../support/leaks.js';
import { map } from 'ix/asynciterable/operators';
import { pull } from 'rxjs-sockets/ix';
import { describe, expect, it } from 'vitest';
import { pair } from '../../support/network.js';

describe('the example of ix', () => {
  it('pull with ix', async () => {
    const { connection, peer } = await pair();
    let total = 0;
    for (const line of ['one', 'three']) peer.data.next(line);
    peer.data.complete();
    const lengths = pull(connection.data).pipe(map((line) => line.length));
    for await (const length of lengths) total += length;
    expect(total).toBe(8);
  });
});
