import { Duplex } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import fc from 'fast-check';
import { firstValueFrom, lastValueFrom, toArray } from 'rxjs';
import { SocketError } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { fromNodeStream } from '../../src/interop/index.js';
import { duplexPair } from '../support/interop/duplex-pair.js';
import '../support/leaks.js';
import { allRealPlaces, memory, type Place } from '../support/transport/places.js';
import { readAll } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';
import { chunksOf, chunkSizes } from '../support/bytes/arbitrary-chunks.js';
import { rawPair } from '../support/interop/raw-pair.js';

/** Two Node streams connected to each other; for sockets, both ends of one connection. */
async function streamsAt(place: Place): Promise<[near: Duplex, far: Duplex]> {
  if (place.name === 'memory') return duplexPair();
  const { near, raw } = await rawPair(place);
  return [near, raw];
}

const ours = ['data', 'end', 'error', 'close', 'drain', 'readable'] as const;

function listenersOf(stream: Duplex): Record<string, number> {
  return Object.fromEntries(ours.map((event) => [event, stream.listenerCount(event)]));
}

/** Writes `piece` whenever nothing is queued, until 50 turns bring no progress. Returns how many bytes were written. */
async function fill(stream: Duplex, piece: Buffer): Promise<number> {
  let written = 0;
  for (let idle = 0; idle < 50;) {
    if (stream.writableLength === 0) {
      stream.write(piece);
      written += piece.length;
      idle = 0;
    } else idle++;
    await turns(1);
  }
  return written;
}

const all = [...allRealPlaces, memory()];

const bytes = fc.uint8Array({ minLength: 1, maxLength: 60_000 }).map((array) => Buffer.from(array));

describe.each(all)('fromNodeStream over $name', (place) => {
  it('I1: carries the bytes of both directions once and in order, for any chunking and any pace', async () => {
    await fc.assert(
      fc.asyncProperty(
        bytes,
        bytes,
        chunkSizes(),
        chunkSizes(),
        fc.array(fc.nat(2), { minLength: 1 }),
        async (...drawn) => {
          const [sent, answered, sizes, answers, paces] = drawn;
          const [near, far] = await streamsAt(place);
          const channel = fromNodeStream(near);
          const atFar = buffer(far);
          channel.sendFrom(chunksOf(sent, sizes)).subscribe({ complete: () => channel.complete() });
          for (const chunk of chunksOf(answered, answers)) far.write(chunk);
          far.end();
          const received: Buffer[] = [];
          let count = 0;
          for await (const chunk of channel) {
            received.push(chunk);
            await turns(paces[count++ % paces.length]);
          }
          expect(Buffer.concat(received).equals(answered)).toBe(true);
          expect((await atFar).equals(sent)).toBe(true);
        },
      ),
      { numRuns: 15 },
    );
  });

  it('I1: carries lines, then a body, then lines again on one stream', async () => {
    const [near, far] = await streamsAt(place);
    const channel = fromNodeStream(near);
    far.write('4\nbodyrest\n');
    far.end('last');
    const size = Number(await firstValueFrom(channel.framed(lines())));
    const body = await lastValueFrom(channel.body(size).pipe(toArray()));
    expect(Buffer.concat(body).toString()).toBe('body');
    const rest = await lastValueFrom(channel.framed(lines()).pipe(toArray()));
    expect(rest).toEqual(['rest', 'last']);
    channel.framed(lines()).next('one');
    channel.complete();
    expect(await buffer(far)).toEqual(Buffer.from('one\n'));
  });

  it('I1: still sends values after the FIN of the other side', async () => {
    const [near, far] = await streamsAt(place);
    const channel = fromNodeStream(near);
    const here = record(channel);
    far.end('bye');
    expect(await here.end()).toBe('complete');
    expect(Buffer.concat(here.values).toString()).toBe('bye');
    await channel.send('still here');
    channel.complete();
    expect((await buffer(far)).toString()).toBe('still here');
  });

  it('I1: complete() ends the stream, and receiving continues', async () => {
    const [near, far] = await streamsAt(place);
    const channel = fromNodeStream(near);
    const here = record(channel);
    channel.next('question');
    channel.complete();
    expect((await readAll(far)).toString()).toBe('question');
    far.end('answer');
    expect(await here.end()).toBe('complete');
    expect(Buffer.concat(here.values).toString()).toBe('answer');
  });

  it('F1: without a subscriber, reads ahead no more than its limit allows, and loses nothing', async () => {
    const [near, far] = await streamsAt(place);
    const piece = Buffer.alloc(16_384, 'x');
    const channel = fromNodeStream(near);
    const written = await fill(far, piece);
    await turns();
    const waiting = near.readableLength;
    expect(near.isPaused()).toBe(true);
    // The stream itself buffers up to its high-water mark and one chunk.
    expect(waiting).toBeLessThanOrEqual(near.readableHighWaterMark + 65_536);
    if (place.name === 'memory') expect(written).toBeLessThanOrEqual(4 * 65_536);
    far.end();
    let size = 0;
    for await (const chunk of channel) size += chunk.length;
    expect(size).toBe(written);
  });

  it('F3: a slow reader limits what the other side can write', async () => {
    const [near, far] = await streamsAt(place);
    const channel = fromNodeStream(near);
    const hold = channel.hold();
    let size = 0;
    const here = record(channel, (chunk) => (size += chunk.length));
    const written = await fill(far, Buffer.alloc(16_384, 'x'));
    expect(size).toBe(0);
    await turns();
    expect(near.isPaused()).toBe(true);
    far.end();
    hold.release();
    expect(await here.end()).toBe('complete');
    expect(size).toBe(written);
  });

  it('C4: does not pull a paced source while the stream is full', async () => {
    const [near, far] = await streamsAt(place);
    const channel = fromNodeStream(near);
    const count = 3_000;
    let pulled = 0;
    let most = 0;
    function* source(): Generator<Buffer> {
      while (pulled < count) {
        most = Math.max(most, channel.bufferedBytes);
        pulled++;
        yield Buffer.alloc(10_000);
      }
    }
    channel.sendFrom(source()).subscribe({ complete: () => channel.complete() });
    let before = -1;
    while (pulled !== before) {
      before = pulled;
      await turns(50);
    }
    expect(pulled).toBeLessThan(count);
    expect(channel.bufferedBytes).toBeLessThanOrEqual(65_536 + 10_000);
    expect((await buffer(far)).length).toBe(count * 10_000);
    expect(most).toBeLessThanOrEqual(65_536 + 10_000);
  });

  it('I1: error(reason) destroys the stream with the reason, and reports ERR_CLOSED', async () => {
    const [near, far] = await streamsAt(place);
    const errors: unknown[] = [];
    near.on('error', (error) => errors.push(error));
    const channel = fromNodeStream(near);
    const here = record(channel);
    const reason = new Error('enough');
    channel.error(reason);
    expect(await here.end()).toMatchObject({ code: 'ERR_CLOSED', cause: reason });
    await until(() => near.closed);
    await turns(2);
    expect(near.destroyed).toBe(true);
    // A reset carries no reason.
    expect(errors).toEqual(place.name === 'tcp' ? [] : [reason]);
    expect(channel.closed).toBe(true);
    await expect(channel.send('late')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    far.destroy();
  });

  it('I1: if the stream is destroyed before its end, emits everything received, then fails', async () => {
    const [near, far] = await streamsAt(place);
    const channel = fromNodeStream(near);
    const hold = channel.hold();
    const here = record(channel);
    far.write('half of it');
    let received = 0;
    near.on('data', (chunk: Buffer) => (received += chunk.length));
    await until(() => received === 10);
    near.destroy();
    await until(() => near.closed);
    hold.release();
    expect(await here.end()).toMatchObject({
      code: 'ECONNABORTED',
      cause: { code: 'ERR_STREAM_PREMATURE_CLOSE' },
    });
    expect(Buffer.concat(here.values).toString()).toBe('half of it');
    await expect(channel.send('late')).rejects.toMatchObject({ code: 'ECONNABORTED' });
  });

  it('I1: reports a system error of the stream with the code of that error, and with that error as cause', async () => {
    const [near] = await streamsAt(place);
    const channel = fromNodeStream(near);
    const here = record(channel);
    const ofTheSystem = Object.assign(new Error('gone'), { code: 'ETIMEDOUT' });
    near.destroy(ofTheSystem);
    const error = await here.end();
    expect(error).toBeInstanceOf(SocketError);
    expect(error).toMatchObject({ code: 'ETIMEDOUT', cause: ofTheSystem });
  });

  it('I1: leaves no listener on the stream, however the stream ends', async () => {
    for (const end of ['order', 'error', 'destroy', 'failure'] as const) {
      const [near, far] = await streamsAt(place);
      for (const stream of [near, far]) stream.removeAllListeners('error').on('error', () => undefined);
      const before = listenersOf(near);
      const channel = fromNodeStream(near);
      const here = record(channel);
      if (end === 'order') {
        far.end();
        far.resume();
        channel.complete();
      } else if (end === 'error') channel.error(new Error('enough'));
      else if (end === 'destroy') near.destroy();
      else near.destroy(new Error('failure'));
      await here.end();
      await until(() => near.closed);
      await turns(3);
      expect(listenersOf(near), end).toEqual(before);
      far.destroy();
    }
  });

  it('I1: emits what the stream had buffered before fromNodeStream was called', async () => {
    const [near, far] = await streamsAt(place);
    near.pause();
    far.write('early');
    near.read(0);
    await until(() => near.readableLength === 5);
    near.unshift('very ');
    const channel = fromNodeStream(near);
    far.end(' late');
    expect(Buffer.concat(await lastValueFrom(channel.pipe(toArray()))).toString()).toBe('very early late');
  });
});
