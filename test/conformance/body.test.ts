import { firstValueFrom } from 'rxjs';
import { type Connection, serve, listen } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { peerAt } from '../support/sockets/peer.js';
import { settled } from '../support/scheduling/event-loop.js';
import { allPlaces, realPlaces, tcp } from '../support/transport/places.js';
import { acceptedAt, dialledAt, serverAt } from '../support/connection/connected-pairs.js';
import { abort } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { refusal } from '../support/errors/refusal.js';
import { until } from '../support/scheduling/event-loop.js';

type Lines = Connection<string, string>;

const textOf = (chunks: readonly Buffer[]): string => Buffer.concat(chunks).toString();

describe.each(allPlaces.map((place) => [place.name, place] as const))('a body on %s', (_name, place) => {
  async function opened(): Promise<{ near: Lines; peer: Awaited<ReturnType<typeof peerAt>> }> {
    let near: Lines | undefined;
    const { address } = await serverAt<string, string>(place, (connection) => (near = connection), { codec: lines() });
    const peer = await peerAt(place, address);
    await until(() => near !== undefined);
    return { near: near as Lines, peer };
  }

  it.each(['at once', 'byte by byte'])('C26: a body emits exactly `size` bytes when they arrive %s', async (how) => {
    const { near, peer } = await opened();
    const text = 'head\n0123456789next\n';
    if (how === 'at once') peer.write(text);
    else for (const byte of text) peer.write(byte);
    expect(await firstValueFrom(near.data)).toBe('head');
    const body = record(near.bytes.body(10));
    expect(await body.end()).toBe('complete');
    expect(textOf(body.values)).toBe('0123456789');
    expect(await firstValueFrom(near.data)).toBe('next');
  });

  it('C26: a body of 0 bytes completes and takes no byte from the stream', async () => {
    const { near, peer } = await opened();
    peer.write('next\n');
    const body = record(near.bytes.body(0));
    expect(await body.end()).toBe('complete');
    expect(body.values).toEqual([]);
    expect(await firstValueFrom(near.data)).toBe('next');
  });

  it('C26: if a subscriber leaves in the middle of a body, the next subscriber gets the rest of the body', async () => {
    const { near, peer } = await opened();
    const body = near.bytes.body(6);
    peer.write('abc');
    const first = await firstValueFrom(body);
    peer.write('defrest\n');
    const rest = record(body);
    expect(await rest.end()).toBe('complete');
    expect(first.toString() + textOf(rest.values)).toBe('abcdef');
    expect(await firstValueFrom(near.data)).toBe('rest');
  });

  it('C26: a held body emits nothing', async () => {
    const { near, peer } = await opened();
    const body = near.bytes.body(6);
    const hold = body.hold();
    const recording = record(body);
    peer.write('abcdefrest\n');
    await settled();
    expect(recording.values).toEqual([]);
    hold.release();
    expect(await recording.end()).toBe('complete');
    expect(textOf(recording.values)).toBe('abcdef');
    expect(await firstValueFrom(near.data)).toBe('rest');
  });

  it('C26: the end of the stream inside a body is ERR_FRAME_TRUNCATED and fails the connection', async () => {
    const { near, peer } = await opened();
    const body = record(near.bytes.body(10));
    peer.write('01234');
    peer.end();
    const error = await body.end();
    expect(error).toMatchObject({ code: 'ERR_FRAME_TRUNCATED' });
    expect(textOf(body.values)).toBe('01234');
    expect(await firstValueFrom(near.closed)).toMatchObject({
      reason: 'failed',
      error: { code: 'ERR_FRAME_TRUNCATED' },
    });
  });

  it('C26: if the stream ends right after a body, the connection ends cleanly', async () => {
    const { near, peer } = await opened();
    const body = record(near.bytes.body(5));
    peer.write('01234');
    peer.end();
    expect(await body.end()).toBe('complete');
    const rest = record(near.data);
    expect(await rest.end()).toBe('complete');
    near.data.complete();
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
  });

  it('C26: a handler of `serve` can read lines and bodies alternately', async () => {
    const server = listen<string, string>(await place.address(), { codec: lines(), ...place.options });
    const serving = server
      .pipe(
        serve(async function* ({ data, bytes }) {
          for await (const head of data) {
            let sum = 0;
            for await (const chunk of bytes.body(Number(head))) for (const byte of chunk) sum += byte;
            yield `${head}: ${sum}`;
          }
        }),
      )
      .subscribe();
    onTestFinished(() => serving.unsubscribe());
    const peer = await peerAt(place, await firstValueFrom(server.listening));
    peer.write(`3\n${'\x01'.repeat(3)}100000\n${'\x02'.repeat(100_000)}0\n2\n\x05`);
    peer.write('\x05');
    await peer.receives('3: 3\n100000: 200000\n0: 0\n2: 10\n');
    peer.end();
    expect(await peer.ended).toBe('fin');
    await server.shutdown();
  });
});

describe.each(realPlaces.map((place) => [place.name, place] as const))(
  'a body from a plain peer on %s',
  (_name, place) => {
    it('C26: the chunks of a body that a subscriber keeps do not change, although all sockets are read into the same memory block', async () => {
      const { near, raw } = await acceptedAt(place);
      const size = 4_000_000;
      const kept: Buffer[] = [];
      const body = record(near.bytes.body(size), (chunk) => kept.push(chunk));
      const sent = Buffer.alloc(size);
      for (let at = 0; at + 4 <= size; at += 4) sent.writeUInt32LE(at, at);
      raw.write(sent);
      expect(await body.end()).toBe('complete');
      // More bytes, on a second connection and on `near`, overwrite the memory block into which all sockets are read.
      const other = await acceptedAt(place);
      other.near.bytes.subscribe({ error: () => undefined });
      other.raw.write(Buffer.alloc(1_000_000, '#'));
      near.bytes.subscribe({ error: () => undefined });
      raw.write(Buffer.alloc(1_000_000, '#'));
      await until(() => near.stats.bytesRead === size + 1_000_000 && other.near.stats.bytesRead === 1_000_000);
      expect(Buffer.concat(kept).equals(sent)).toBe(true);
    });

    it('C26: while a body is held, the connection is read only up to the read-ahead limit', async () => {
      const { near, raw } = await acceptedAt(place);
      const body = near.bytes.body(20_000_000);
      const hold = body.hold();
      const recording = record(body);
      raw.write(Buffer.alloc(20_000_000));
      await settled();
      expect(near.stats.bytesRead).toBeLessThan(300_000);
      hold.release();
      expect(await recording.end()).toBe('complete');
      expect(near.stats.bytesRead).toBe(20_000_000);
    });

    it('C26: a reset that arrives inside a body fails the body and the connection', async () => {
      const { near, raw } = await acceptedAt(place);
      const body = record(near.bytes.body(1_000_000));
      raw.write('01234');
      await body.count(1);
      await abort(raw, near);
      expect(await body.end()).toMatchObject({ code: 'ECONNRESET' });
      expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed' });
    });

    it('C26: a client can read a body', async () => {
      const { near, raw } = await dialledAt<string, string>(place, { codec: lines() });
      raw.write('head\n0123456789next\n');
      expect(await firstValueFrom(near.data)).toBe('head');
      const body = record(near.bytes.body(10));
      expect(await body.end()).toBe('complete');
      expect(textOf(body.values)).toBe('0123456789');
      expect(await firstValueFrom(near.data)).toBe('next');
    });
  },
);

it.each([-1, 1.5, NaN, Infinity, '5', undefined, null])('C26: `body` throws if the size is %s', async (size) => {
  const { near } = await acceptedAt(tcp);
  expect(refusal(() => near.bytes.body(size as number))).toMatchObject({ code: 'ERR_OPTION_INVALID' });
});

it('C26: calling `body` on a channel with a codec throws ERR_OPTION_INVALID', async () => {
  const { near } = await acceptedAt<string, string>(tcp, { codec: lines() });
  expect(refusal(() => near.data.body(5))).toMatchObject({ code: 'ERR_OPTION_INVALID' });
});
