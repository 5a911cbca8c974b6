import { asyncScheduler, firstValueFrom, take } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { connect, listen, SocketError } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { memoryTransport } from 'rxjs-sockets/testing';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { freshFolder, memory, places, realPlaces, tcp } from '../support/transport/places.js';
import { pairAt } from '../support/connection/connected-pairs.js';
import { rawClient, rawServer } from '../support/sockets/plain-sockets.js';

describe('addresses of clients that have left', () => {
  it('S2: if a TCP connection was reset before it was emitted, its `remote` is still a TCP address', async () => {
    const server = listen(await tcp.address());
    const bound = firstValueFrom(server.listening);
    const hold = server.hold();
    const first = firstValueFrom(server.pipe(take(1)));
    const subscription = server.subscribe();
    onTestFinished(() => {
      subscription.unsubscribe();
    });
    const raw = await rawClient(await bound);
    raw.resetAndDestroy();
    await new Promise((resolve) => raw.once('close', resolve));
    hold.release();
    const connection = await first;
    expect(connection.remote.transport).toBe('tcp');
    connection.destroy();
  });
});

describe('timers that are due at the same instant', () => {
  it('C7: in TestScheduler.run, both ends of a connection report their timeouts', () => {
    new TestScheduler((actual, expected) => {
      expect(actual).toEqual(expected);
    }).run(({ flush }) => {
      for (const options of [{ idleTimeout: 500 }, {}]) {
        const both = { transport: memoryTransport(), codec: lines(), ...options };
        const ends: string[] = [];
        const server = listen<string, string>('memory:both', both).subscribe({
          next: ({ data, closed }) => {
            if (options.idleTimeout !== undefined) data.subscribe({ error: () => undefined });
            closed.subscribe({ next: ({ error }) => ends.push(String(error?.code)), error: () => undefined });
          },
        });
        const client = connect<string, string>('memory:both', both);
        client.subscribe({ error: (error: unknown) => ends.push((error as SocketError).code) });
        const started = asyncScheduler.now();
        flush();
        expect(ends).toHaveLength(2);
        expect(asyncScheduler.now() - started).toBeLessThanOrEqual(30_000);
        server.unsubscribe();
      }
    });
  });
});

describe('unknown options', () => {
  it.each(['idelTimeout', 'backof'])('A7: connect refuses the unknown option %s', (name) => {
    expect(() => connect('memory:x', { ...memory().options, [name]: 5 })).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION_INVALID', message: expect.stringContaining(name) as string }),
    );
  });

  it.each(['maxBufferd', 'proxy'])('A7: listen refuses the unknown option %s', (name) => {
    expect(() => listen('memory:x', { ...memory().options, [name]: 5 })).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION_INVALID', message: expect.stringContaining(name) as string }),
    );
  });

  it('A7: an option that is undefined counts as omitted', () => {
    expect(() => listen('memory:x', { ...memory().options, ...{ idelTimeout: undefined } })).not.toThrow();
  });

  it.each([-1, NaN, 2 ** 31, '5'])(
    'S14: shutdown rejects a deadline of %s, and the server continues to serve',
    async (deadline) => {
      const { server } = await pairAt(memory());
      await expect(server.shutdown({ deadline: deadline as number })).rejects.toMatchObject({
        code: 'ERR_OPTION_INVALID',
      });
      expect(server.connections.size).toBe(1);
    },
  );
});

describe.each(places)('text without a codec over $name', (place) => {
  it('D5: `send` rejects text with a lone surrogate', async () => {
    const { near } = await pairAt(place);
    await expect(near.data.send('\ud83d')).rejects.toMatchObject({ code: 'ERR_FRAME_INVALID' });
    near.data.next('\ud83d\ude00');
    await expect(near.data.send('')).resolves.toBeUndefined();
  });
});

describe('other files at the path of a unix socket', () => {
  it('S3: listening at the path of a file or folder fails with ERR_NOT_A_SOCKET', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'file');
    await writeFile(path, 'precious');
    for (const where of [path, folder]) {
      const error = await new Promise((resolve) => {
        listen({ path: where }).subscribe({ error: resolve });
      });
      expect(error).toMatchObject({ code: 'ERR_NOT_A_SOCKET', address: { transport: 'unix', path: where } });
    }
  });
});

describe.each(realPlaces)('a client destroyed before its first subscription, over $name', (place) => {
  it('K1: the client dials nothing, and reports ERR_CLOSED', async () => {
    let dialled = 0;
    const address = await rawServer(place, () => dialled++);
    const client = connect(address);
    client.data.error(new Error('never mind'));
    const states: string[] = [];
    const error = await new Promise((resolve) => {
      client.subscribe({ next: (state) => states.push(state.status), error: resolve });
    });
    expect(error).toMatchObject({ code: 'ERR_CLOSED' });
    expect(states).toEqual(['connecting', 'disconnected']);
    const raw = await rawClient(address);
    raw.destroy();
    expect(dialled).toBeLessThanOrEqual(1);
  });
});

describe.each(places)('a source as fast as the kernel, over $name', (place) => {
  it('C5: `sendFrom` lets timers run while it pulls the source', async () => {
    const { near, far } = await pairAt(place);
    far.data.subscribe({ error: () => undefined });
    const all = 100_000;
    let produced = 0;
    function* source(): Generator<string> {
      while (produced++ < all) yield 'x'.repeat(1_000);
    }
    near.data.sendFrom(source()).subscribe({ error: () => undefined });
    await new Promise((resolve) => setTimeout(resolve));
    expect(produced).toBeLessThan(all);
    near.destroy();
  });
});
