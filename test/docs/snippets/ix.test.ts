import '../../support/leaks.js';
import { map } from 'ix/asynciterable/operators';
import { pull, type PullOptions } from 'rxjs-sockets/ix';
import { describe, expect, it } from 'vitest';
import { pair } from '../../support/transport/memory/memory-network.js';

describe('the examples of ix show how to', () => {
  it('pull with ix', async () => {
    const { connection, peer } = await pair();
    let total = 0;
    for (const line of ['one', 'three']) peer.data.next(line);
    peer.data.complete();
    const lengths = pull(connection.data).pipe(map((line) => line.length));
    for await (const length of lengths) total += length;
    expect(total).toBe(8);
  });

  it('pull with ix in batches', async () => {
    const { connection, peer } = await pair();
    let total = 0;
    for (const line of ['one', 'three']) peer.data.next(line);
    peer.data.complete();
    const sizes = pull(connection.data, { batch: 256 }).pipe(map((lines) => lines.join('').length));
    for await (const size of sizes) total += size;
    expect(total).toBe(8);
  });

  it('set options of pull', async () => {
    const { connection, peer } = await pair();
    let count = 0;
    for (const line of ['one', 'three']) peer.data.next(line);
    peer.data.complete();
    const options: PullOptions = { batch: 256 };
    for await (const lines of pull(connection.data, options)) count += lines.length;
    expect(count).toBe(2);
  });
});
