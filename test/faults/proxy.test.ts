import { firstValueFrom } from 'rxjs';
import { backoff, type ConnectionState, type SocketError } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import type { Faults } from 'rxjs-sockets/testing';
import { describe, expect, it } from 'vitest';
import { recordBytes } from '../support/recording/record-bytes.js';
import { realPlaces } from '../support/transport/places.js';
import { numbered } from './puppets.js';
import { onStage, type Stage } from './stage.js';

/** Sends `sent` to a server through a proxy with `faults`, and returns what the server receives. */
async function through(
  stage: Stage,
  faults: Faults,
  sent: Buffer,
): Promise<{ readonly data: Buffer; readonly end: string }> {
  const { address: target, accepted } = await stage.accepting();
  const { address } = await stage.faulty(target, { seed: 11, up: faults });
  const near = await stage.connection(address, { halfOpen: true });
  near.bytes.next(sent);
  near.bytes.complete();
  return recordBytes((await accepted).bytes).all();
}

const sent = numbered(60_000);

/** Faults that only delay or divide the bytes. */
const harmless: readonly [string, Faults][] = [
  ['latency', { latency: [0, 4] }],
  ['bandwidth', { bandwidth: 1_000_000 }],
  ['slices', { slices: [1, 700] }],
  ['a late FIN', { lateFin: [10, 30] }],
  ['a black hole for a while', { blackHoleAfter: [1_000, 2_000], blackHoleFor: 50 }],
  ['all these faults but the black hole', { latency: [0, 4], bandwidth: 1_000_000, slices: [1, 5_000], lateFin: 5 }],
];

describe.each(realPlaces)('a connection through a faulty proxy over $name', (place) => {
  it.each(harmless)('C1: carries all bytes and the FIN through this fault: %s', (_, faults) =>
    onStage(place, async (stage) => {
      const { data, end } = await through(stage, faults, sent);
      expect(data.equals(sent)).toBe(true);
      expect(end).toBe('fin');
    }),
  );

  it('C1: decodes messages that arrive one byte at a time, in both directions', () =>
    onStage(place, async (stage) => {
      const { address: target } = await stage.server<string, string>(({ data }) => data.subscribe(data), {
        codec: lines(),
      });
      const { address } = await stage.faulty(target, { up: { slices: 1 }, down: { slices: 1 } });
      const { data } = await stage.connection<string, string>(address, { codec: lines() });
      const words = ['żółw', 'straße', '', 'x'.repeat(200), 'end'];
      for (const word of words) data.next(word);
      const echoes: string[] = [];
      for await (const echo of data) if (echoes.push(echo) === words.length) break;
      expect(echoes).toEqual(words);
    }));

  it('C8: reports a reset as one error after the bytes that arrived before the reset, and never completes', () =>
    onStage(place, async (stage) => {
      const { data, end } = await through(stage, { resetAfter: [20_000, 30_000] }, sent);
      expect(data.equals(sent.subarray(0, data.length))).toBe(true);
      expect(data.length).toBeLessThan(30_000);
      // A unix socket has no reset. The client receives only what the proxy had read (C20).
      expect(place.name === 'unix' ? ['fin', 'ECONNRESET'] : ['ECONNRESET']).toContain(end);
    }));

  it('C7: completes after the received bytes if the stream is cut short', () =>
    onStage(place, async (stage) => {
      const { data, end } = await through(stage, { cutAfter: 12_345 }, sent);
      expect(data.equals(sent.subarray(0, 12_345))).toBe(true);
      expect(end).toBe('fin');
    }));

  it('K4: with reconnect, is replaced by a new connection each time it is cut, and no answer is incomplete', () =>
    onStage(place, async (stage) => {
      const seen: string[] = [];
      const { address: target } = await stage.server<string, string>(
        ({ data }) =>
          data.subscribe({
            next: (line) => {
              seen.push(line);
              data.next(line);
            },
            error: () => undefined,
          }),
        { codec: lines() },
      );
      const { proxy, address } = await stage.faulty(target, { seed: 5, down: { cutEvery: [20, 60] } });
      const client = stage.client<string, string>(address, {
        codec: lines(),
        reconnect: backoff({ initial: 1, max: 1, jitter: 0 }),
      });
      const answers: string[] = [];
      let asked = 0;
      const ask = (): void => client.data.next(String(answers.length + 1_000));
      await new Promise<void>((resolve) => {
        stage.add(
          client.subscribe((state) => {
            if (state.status === 'connected' && ++asked > 0) ask();
          }),
        );
        stage.add(
          client.data.subscribe((answer) => {
            answers.push(answer);
            if (answers.length === 40) resolve();
            else ask();
          }),
        );
      });
      // A cut loses data in flight, so the client can ask a question twice. No answer is incomplete or out of order.
      const numbers = answers.map(Number);
      expect(numbers.every((number, index) => index === 0 || number >= numbers[index - 1]!)).toBe(true);
      expect(seen.every((line) => /^10\d\d$/.test(line))).toBe(true);
      expect(proxy.strikes.length).toBeGreaterThan(3);
    }));

  it('K5: with reconnect, is replaced after a reset; only a stable connection restarts the count of retries', () =>
    onStage(place, async (stage) => {
      const { address: target } = await stage.server(({ data }) => data.subscribe({ error: () => undefined }));
      const { address } = await stage.faulty(target, { up: { resetAfter: 0 } });
      const client = stage.client(address, { reconnect: backoff({ initial: 1, max: 4, jitter: 0, attempts: 4 }) });
      const states: ConnectionState['status'][] = [];
      const delays: number[] = [];
      const error = await new Promise<SocketError | undefined>((resolve) => {
        stage.add(
          client.subscribe({
            next: (state) => {
              states.push(state.status);
              if (state.status === 'waiting') delays.push(state.delay);
            },
            error: (reason: unknown) => resolve(reason as SocketError),
            complete: () => resolve(undefined),
          }),
        );
      });
      if (place.name === 'tcp') expect(error?.code).toBe('ECONNRESET');
      expect(delays).toEqual([1, 2, 4, 4]);
      expect(states.filter((status) => status === 'connecting')).toHaveLength(5);
    }));

  it('C8: fails with ERR_TIMEOUT_IDLE after the proxy has stopped forwarding', () =>
    onStage(place, async (stage) => {
      const { address: target, accepted } = await stage.accepting({ idleTimeout: 60 });
      const { address } = await stage.faulty(target, { up: { blackHoleAfter: 1_000 } });
      const near = await stage.connection(address, { halfOpen: true });
      near.bytes.next(sent);
      const { data, end } = await recordBytes((await accepted).bytes).all();
      expect(data.equals(sent.subarray(0, 1_000))).toBe(true);
      expect(end).toBe('ERR_TIMEOUT_IDLE');
      expect((await firstValueFrom((await accepted).closed)).reason).toBe('failed');
    }));

  it('C4: buffers at most maxBuffered and one value while the proxy forwards nothing', () =>
    onStage(place, async (stage) => {
      const { address: target } = await stage.accepting();
      const { address } = await stage.faulty(target, { up: { blackHoleAfter: 0 } });
      const near = await stage.connection(address, { maxBuffered: 100_000, overflow: 'drop' });
      const chunk = Buffer.alloc(10_000);
      // The loop ends when all buffers on the way are full, so that a value is dropped.
      while (near.bytes.dropped === 0) {
        near.bytes.next(chunk);
        expect(near.bytes.bufferedBytes).toBeLessThanOrEqual(110_000);
        await new Promise((resolve) => setImmediate(resolve));
      }
      near.destroy();
      expect((await firstValueFrom(near.closed)).reason).toBe('destroyed');
    }));

  it('C11: if the proxy forwards nothing, close() resolves after closeTimeout', () =>
    onStage(place, async (stage) => {
      const { address: target, accepted } = await stage.accepting({ closeTimeout: 50 });
      const { address } = await stage.faulty(target, { up: { blackHoleAfter: 0 } });
      await stage.connection(address, { halfOpen: true });
      const far = await accepted;
      await far.close();
      expect(await firstValueFrom(far.closed)).toMatchObject({
        reason: 'failed',
        error: { code: 'ERR_TIMEOUT_CLOSE' },
      });
    }));
});
