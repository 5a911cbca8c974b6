import { firstValueFrom, toArray } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { type Address, backoff, connect, type Connection, listen, type SocketError } from 'rxjs-sockets';
import { lengthPrefixed } from 'rxjs-sockets/codecs';
import {
  type Faults,
  faulty,
  type Faulty,
  type FaultyOptions,
  memoryTransport,
  type InjectedFault,
} from 'rxjs-sockets/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { freshFolder, type Place, places } from '../support/transport/places.js';
import { clientAt, serverAt } from '../support/connection/connected-pairs.js';
import { recordBytes } from '../support/recording/record-bytes.js';
import { refusal } from '../support/errors/refusal.js';

/** A proxy in front of `target`, and its address. The proxy is shut down with the test. */
async function faultyAt(
  place: Place,
  target: Address,
  options: FaultyOptions = {},
): Promise<{ proxy: Faulty; address: Address }> {
  const proxy = faulty(target, { ...place.options, ...options });
  onTestFinished(() => proxy.shutdown());
  return { proxy, address: await firstValueFrom(proxy.listening) };
}

/** `size` bytes that show their positions. */
function numbered(size: number): Buffer {
  return Buffer.from(Array.from({ length: size }, (_, index) => index % 251));
}

function codeOf(error: unknown): string {
  return (error as SocketError).code;
}

/** Sends `sent` up through a proxy with `faults`. Returns what the server receives, and the injected faults. */
async function sentThrough(
  place: Place,
  faults: Faults,
  sent: Buffer,
  seed = 1,
): Promise<{ data: Buffer; end: string; chunks: number[]; strikes: readonly InjectedFault[] }> {
  let accepted: (connection: Connection) => void = () => undefined;
  const far = new Promise<Connection>((resolve) => {
    accepted = resolve;
  });
  const { address: target } = await serverAt(place, (connection) => accepted(connection));
  const { proxy, address } = await faultyAt(place, target, { seed, up: faults });
  const { connection: near } = await clientAt(place, address, { halfOpen: true });
  near.bytes.next(sent);
  near.bytes.complete();
  const received = recordBytes((await far).bytes);
  const { data, end } = await received.all();
  return { data, end, chunks: received.values.map((chunk) => chunk.length), strikes: proxy.strikes };
}

describe.each(places)('faulty over $name', (place) => {
  it('C1: forwards all bytes in both directions, and the FIN of each direction separately', async () => {
    const sent = numbered(300_000);
    const { address: target } = await serverAt(place, ({ data }) => data.subscribe(data));
    const { proxy, address } = await faultyAt(place, target);
    const { connection } = await clientAt(place, address, { halfOpen: true });
    const received = recordBytes(connection.bytes).all();
    connection.bytes.next(sent);
    connection.bytes.complete();
    const { data, end } = await received;
    expect(data.equals(sent)).toBe(true);
    expect(end).toBe('fin');
    expect((await firstValueFrom(connection.closed)).reason).toBe('finished');
    expect(proxy.strikes).toEqual([]);
  });

  it('C1: forwards all bytes with any latency, bandwidth and slices', async () => {
    const faults: Faults = { latency: [0, 5], bandwidth: 2_000_000, slices: [1, 5_000], lateFin: 10 };
    const sent = numbered(100_000);
    const { data, end, strikes } = await sentThrough(place, faults, sent, 5);
    expect(data.equals(sent)).toBe(true);
    expect(end).toBe('fin');
    const all = { connection: 1, direction: 'up' };
    expect(strikes).toEqual([
      { ...all, fault: 'latency', at: 0 },
      { ...all, fault: 'bandwidth', at: 0 },
      { ...all, fault: 'slices', at: 0 },
      { ...all, fault: 'lateFin', at: sent.length },
    ]);
  });

  it('C1: forwards single bytes one by one', async () => {
    const sent = numbered(2_000);
    const { data, end, chunks } = await sentThrough(place, { slices: 1 }, sent);
    expect(data.equals(sent)).toBe(true);
    expect(end).toBe('fin');
    // The kernel can join some of the bytes.
    expect(chunks.length).toBeGreaterThan(place.name === 'memory' ? 1_999 : 20);
  });

  it('C7: with cutAfter, ends both sides cleanly after n bytes', async () => {
    const sent = numbered(50_000);
    const { data, end, strikes } = await sentThrough(place, { cutAfter: 12_345 }, sent);
    expect(data.equals(sent.subarray(0, 12_345))).toBe(true);
    expect(end).toBe('fin');
    expect(strikes).toEqual([{ fault: 'cut', connection: 1, direction: 'up', at: 12_345 }]);
  });

  it('C8: with resetAfter, resets the connection after n bytes', async () => {
    const sent = numbered(50_000);
    const { data, end, strikes } = await sentThrough(place, { resetAfter: 12_345 }, sent);
    // A reset can drop data in flight. A unix socket has no reset.
    expect(data.equals(sent.subarray(0, data.length))).toBe(true);
    if (place.name === 'memory') expect(data.length).toBe(12_345);
    else expect(data.length).toBeLessThanOrEqual(12_345);
    expect(end === 'ECONNRESET' || (place.name === 'unix' && end === 'fin')).toBe(true);
    expect(strikes).toEqual([{ fault: 'reset', connection: 1, direction: 'up', at: 12_345 }]);
  });

  it('F3: makes a sender wait during a black hole, and forwards everything when the black hole ends', async () => {
    const sent = numbered(3_000_000);
    let accepted: (connection: Connection) => void = () => undefined;
    const connected = new Promise<Connection>((resolve) => {
      accepted = resolve;
    });
    const { address: target } = await serverAt(place, (connection) => accepted(connection));
    const up: Faults = { blackHoleAfter: 1_000, blackHoleFor: 300 };
    const { proxy, address } = await faultyAt(place, target, { up });
    const { connection: near } = await clientAt(place, address, { halfOpen: true, maxBuffered: 2 ** 23 });
    near.bytes.next(sent);
    near.bytes.complete();
    const received = recordBytes((await connected).bytes).all();
    // The direction without a black hole still works.
    (await connected).bytes.next('hello');
    expect(String(await firstValueFrom(near.bytes))).toBe('hello');
    expect((await connected).stats.bytesRead).toBeLessThanOrEqual(1_000);
    const { data, end } = await received;
    expect(data.equals(sent)).toBe(true);
    expect(end).toBe('fin');
    expect(proxy.strikes).toEqual([{ fault: 'blackHole', connection: 1, direction: 'up', at: 1_000 }]);
  });

  it('K4: chooses the faults of each connection anew', async () => {
    const { address: target } = await serverAt(place, ({ data }) => data.subscribe(data), { codec: lengthPrefixed() });
    const { proxy, address } = await faultyAt(place, target, { seed: 3, up: { cutEvery: [10, 300] } });
    const client = connect(address, {
      ...place.options,
      codec: lengthPrefixed(),
      reconnect: backoff({ initial: 1, max: 1, jitter: 0 }),
    });
    const echoes: number[] = [];
    await new Promise<void>((resolve) => {
      const subscription = client.data.subscribe((echo) => {
        echoes.push(echo.readUInt32BE());
        if (proxy.strikes.length < 5) client.data.next(message(echoes.length));
        else resolve();
      });
      onTestFinished(() => subscription.unsubscribe());
      // A cut drops the data in flight, so the client has to send again.
      client.subscribe((state) => {
        if (state.status === 'connected') client.data.next(message(echoes.length));
      });
    });
    expect(new Set(proxy.strikes.map(({ connection }) => connection)).size).toBeGreaterThanOrEqual(5);
    expect(proxy.strikes.every(({ fault, direction }) => fault === 'cut' && direction === 'up')).toBe(true);
  });

  it('C8: resets a client if the target cannot be reached', async () => {
    const { address: target, server } = await serverAt(place, () => undefined);
    const { address } = await faultyAt(place, target);
    await server.shutdown();
    const { connection } = await clientAt(place, address);
    const { reason } = await firstValueFrom(connection.closed);
    expect(reason === 'failed' || place.name === 'unix').toBe(true);
  });

  it('S7: closes every connection on shutdown, and frees its own address', async () => {
    const far: Connection[] = [];
    const { address: target, server } = await serverAt(place, (connection) => {
      far.push(connection);
      connection.bytes.next('.');
      // A unix socket has no reset, so its end looks clean.
      connection.bytes.subscribe({ complete: () => connection.bytes.complete(), error: () => undefined });
    });
    const { proxy, address } = await faultyAt(place, target, { up: { blackHoleAfter: 0 } });
    const clients = await Promise.all([1, 2, 3].map(() => clientAt(place, address)));
    await Promise.all(clients.map(({ connection }) => firstValueFrom(connection.bytes)));
    await proxy.shutdown();
    const all = [...clients.map(({ connection }) => connection), ...far];
    await Promise.all(all.map(({ closed }) => firstValueFrom(closed)));
    expect(server.connections.size).toBe(0);
    const again = connect(address, { ...place.options });
    const code = await new Promise((resolve) => {
      again.subscribe({ error: (error: unknown) => resolve(codeOf(error)) });
    });
    expect(['ECONNREFUSED', 'ENOENT']).toContain(code);
    await proxy.shutdown();
  });
});

function message(number: number): Buffer {
  const bytes = Buffer.alloc(40);
  bytes.writeUInt32BE(number);
  return bytes;
}

describe('faulty with a seed', () => {
  /** The faults that `seed` injects, and a log of what arrives when, in virtual time. */
  function run(seed: number, writes: readonly number[]): { strikes: readonly InjectedFault[]; log: string[] } {
    const log: string[] = [];
    let strikes: readonly InjectedFault[] = [];
    new TestScheduler(() => undefined).run(({ flush }) => {
      const transport = memoryTransport();
      const server = listen('memory:target', { transport });
      const serving = server.subscribe(({ bytes }) => {
        bytes.subscribe({
          next: (chunk) => {
            log.push(`${chunk.length}`);
            bytes.next(chunk);
          },
          error: (error: unknown) => log.push(codeOf(error)),
          complete: () => log.push('fin'),
        });
      });
      const faults: Faults = {
        latency: [1, 30],
        slices: [1, 50],
        blackHoleAfter: [0, 2_000],
        blackHoleFor: [1, 500],
        lateFin: [0, 100],
        cutAfter: [0, 10_000],
        resetAfter: [0, 10_000],
        cutEvery: [1_000, 10_000],
      };
      const proxy = faulty('memory:target', { seed, up: faults, down: faults, transport });
      strikes = proxy.strikes;
      const client = connect('memory:target.faulty', { transport });
      const sent = numbered(4_000);
      let at = 0;
      client.data.subscribe({
        next: (chunk) => log.push(`echo ${chunk.length}`),
        error: (error: unknown) => log.push(`client ${codeOf(error)}`),
        complete: () => log.push('client fin'),
      });
      for (const size of writes) {
        client.data.next(sent.subarray(at, at + size));
        at += size;
      }
      client.data.next(sent.subarray(at));
      client.data.complete();
      flush();
      void proxy.shutdown();
      serving.unsubscribe();
    });
    return { strikes, log };
  }

  it('injects its faults at the same bytes with the same seed, and at different bytes with a different seed', () => {
    const seeds = Array.from({ length: 40 }, (_, index) => index);
    const first = seeds.map((seed) => run(seed, []));
    expect(seeds.map((seed) => run(seed, []))).toEqual(first);
    expect(new Set(first.map(({ log }) => log.join())).size).toBe(seeds.length);
    const kinds = new Set(first.flatMap(({ strikes }) => strikes.map(({ fault }) => fault)));
    expect([...kinds].sort()).toEqual(['blackHole', 'cut', 'lateFin', 'latency', 'reset', 'slices']);
  });

  it('with the same seed, injects its faults at the same bytes, however the bytes were written', () => {
    for (let seed = 0; seed < 20; seed++) {
      const whole = run(seed, []);
      const pieces = run(seed, [1, 700, 13, 2_000]);
      expect(pieces.strikes.filter(({ direction }) => direction === 'up')).toEqual(
        whole.strikes.filter(({ direction }) => direction === 'up'),
      );
    }
  });

  it('delays bytes as the latency and the bandwidth require', () => {
    const times: number[] = [];
    const scheduler = new TestScheduler(() => undefined);
    scheduler.run(({ flush }) => {
      const transport = memoryTransport();
      listen('memory:target', { transport }).subscribe(({ bytes }) => {
        bytes.subscribe({ next: () => times.push(scheduler.now()), complete: () => bytes.complete() });
      });
      const proxy = faulty('memory:target', { up: { latency: 100, bandwidth: 1_000, slices: 500 }, transport });
      const client = connect('memory:target.faulty', { transport });
      client.subscribe();
      client.data.next(Buffer.alloc(100));
      client.data.complete();
      flush();
      void proxy.shutdown();
    });
    // The bandwidth is measured in steps of 20 ms, so 20 bytes arrive at a time.
    expect(times).toEqual([120, 140, 160, 180, 200]);
  });

  it('F3: keeps at most its window in flight, however slow the line is', () => {
    const scheduler = new TestScheduler(() => undefined);
    let most = 0;
    let received = 0;
    scheduler.run(({ flush }) => {
      const transport = memoryTransport();
      listen('memory:target', { transport }).subscribe(({ bytes }) => {
        bytes.subscribe({
          next: (chunk) => {
            received += chunk.length;
            most = Math.max(most, sent - received);
          },
          complete: () => bytes.complete(),
        });
      });
      const proxy = faulty('memory:target', { up: { latency: 1_000, slices: [1, 3_000] }, transport });
      const client = connect('memory:target.faulty', { transport });
      let sent = 0;
      function* endless(): Generator<Buffer> {
        while (sent < 3_000_000) {
          sent += 10_000;
          yield Buffer.alloc(10_000);
        }
      }
      client.data.sendFrom(endless()).subscribe({ complete: () => client.data.complete() });
      client.data.subscribe();
      flush();
      void proxy.shutdown();
    });
    expect(received).toBe(3_000_000);
    // The bound is the window, a chunk, and what both sides of a pipe of 64 KiB read ahead and buffer.
    expect(most).toBeLessThanOrEqual(8 * 65_536);
  });
});

describe('faulty with bad input', () => {
  it('A5: refuses bad options, and the error names them', () => {
    const up =
      (faults: unknown): (() => unknown) =>
      () =>
        faulty({ port: 1 }, { up: faults as Faults });
    expect(refusal(up(7)).message).toContain('up must be');
    expect(refusal(up({ latency: -1 })).message).toContain('up.latency');
    expect(refusal(up({ latency: [5, 1] })).message).toContain('up.latency');
    expect(refusal(up({ latency: [1, 2, 3] })).message).toContain('up.latency');
    expect(refusal(up({ bandwidth: 0 })).message).toContain('up.bandwidth');
    expect(refusal(up({ slices: 0 })).message).toContain('up.slices');
    expect(refusal(up({ slices: 1.5 })).message).toContain('up.slices');
    expect(refusal(up({ cutEvery: [0, 1] })).message).toContain('up.cutEvery');
    expect(refusal(up({ cutAfter: '1' })).message).toContain('up.cutAfter');
    expect(refusal(up({ blackHoleFor: 2 ** 31 })).message).toContain('up.blackHoleFor');
    expect(refusal(() => faulty({ port: 1 }, { down: { resetAfter: NaN } })).message).toContain('down.resetAfter');
    expect(refusal(() => faulty({ port: 1 }, { seed: 0.5 })).message).toContain('seed');
    expect(refusal(() => faulty({ port: 1 }, null as never)).code).toBe('ERR_OPTION_INVALID');
    expect(refusal(() => faulty({ port: 0 })).code).toBe('ERR_ADDRESS_INVALID');
  });

  it('A5: refuses an unknown option and an unknown fault', () => {
    const messageOf = (options: object): string => refusal(() => faulty({ port: 1 }, options)).message;
    expect(messageOf({ latency: 1 })).toBe('latency is not an option of faulty');
    expect(messageOf({ up: { latancy: 1 } })).toBe('latancy is not an option of up');
    expect(messageOf({ down: { resetAfterBytes: 1 } })).toBe('resetAfterBytes is not an option of down');
  });

  it('S3: fails if its address is in use', async () => {
    const path = `${await freshFolder()}/socket`;
    const { address } = await serverAt(
      { name: 'unix', address: () => Promise.resolve({ path }), options: {} },
      () => undefined,
    );
    const proxy = faulty(address, { listen: address });
    const error = await firstValueFrom(proxy.listening.pipe(toArray())).catch((reason: unknown) => reason);
    expect((error as SocketError).code).toBe('EADDRINUSE');
    await proxy.shutdown();
  });
});
