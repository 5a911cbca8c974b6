import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { Duplex, PassThrough, Readable, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import zlib from 'node:zlib';
import fc from 'fast-check';
import { firstValueFrom, lastValueFrom, toArray } from 'rxjs';
import { relay, SocketError } from 'rxjs-sockets';
import { lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { fromNodeStream } from '../../src/interop/index.js';
import { duplexPair } from '../support/interop/duplex-pair.js';
import '../support/leaks.js';
import { allRealPlaces, memory, type Place, tcp } from '../support/transport/places.js';
import { dialledAt, pairAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawClient, rawServer } from '../support/sockets/plain-sockets.js';
import { readAll } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';
import { chunksOf, chunkSizes } from '../support/bytes/arbitrary-chunks.js';

/** Two Node streams that are connected to each other: where there are sockets, the ends of one. */
async function streamsAt(place: Place): Promise<[near: Duplex, far: Duplex]> {
  if (place.name === 'memory') return duplexPair();
  const { near, raw } = await rawPair(place);
  return [near, raw];
}

async function rawPair(place: Place): Promise<{ near: net.Socket; raw: net.Socket }> {
  let accepted: (socket: net.Socket) => void = () => undefined;
  const raw = new Promise<net.Socket>((resolve) => {
    accepted = resolve;
  });
  const near = await rawClient(await rawServer(place, (socket) => accepted(socket)));
  return { near, raw: await raw };
}

const ours = ['data', 'end', 'error', 'close', 'drain', 'readable'] as const;

function listenersOf(stream: Duplex): Record<string, number> {
  return Object.fromEntries(ours.map((event) => [event, stream.listenerCount(event)]));
}

/** Counts the bytes that are written to `stream` before it says that it has enough, which it must in the end. */
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

  it('I1: carries framed messages, with views, Holds and the rest of a chunk in mid-stream', async () => {
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

  it('I1: half-closes: what is sent after the end of the other side still arrives', async () => {
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

  it('I1: complete() ends the stream, and receiving goes on', async () => {
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

  it('F1: reads ahead no more than its bound while it has no subscriber, and loses nothing', async () => {
    const [near, far] = await streamsAt(place);
    const piece = Buffer.alloc(16_384, 'x');
    const channel = fromNodeStream(near);
    const written = await fill(far, piece);
    await turns();
    const waiting = near.readableLength;
    expect(near.isPaused()).toBe(true);
    // The stream itself stops at its mark and one chunk.
    expect(waiting).toBeLessThanOrEqual(near.readableHighWaterMark + 65_536);
    if (place.name === 'memory') expect(written).toBeLessThanOrEqual(4 * 65_536);
    far.end();
    let size = 0;
    for await (const chunk of channel) size += chunk.length;
    expect(size).toBe(written);
  });

  it('F3: a slow reader bounds what the other side can write', async () => {
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

  it('C4: a slow stream bounds what is sent: a paced source is pulled no further', async () => {
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

  it('I1: error(reason) destroys the stream with the reason, and is told as ERR_CLOSED', async () => {
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
    // A reset has no reason to it.
    expect(errors).toEqual(place.name === 'tcp' ? [] : [reason]);
    expect(channel.closed).toBe(true);
    await expect(channel.send('late')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    far.destroy();
  });

  it('I1: a stream that is destroyed without its end is an error, after all that was received', async () => {
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

  it('I1: an error of the stream is the error of the channel, with it as cause', async () => {
    const [near] = await streamsAt(place);
    const channel = fromNodeStream(near);
    const here = record(channel);
    const ofTheSystem = Object.assign(new Error('gone'), { code: 'ETIMEDOUT' });
    near.destroy(ofTheSystem);
    const error = await here.end();
    expect(error).toBeInstanceOf(SocketError);
    expect(error).toMatchObject({ code: 'ETIMEDOUT', cause: ofTheSystem });
  });

  it('I1: leaves no listener on the stream, however it ends', async () => {
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

  it('I1: gives what the stream had buffered before the call', async () => {
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

describe('fromNodeStream', () => {
  it('C8: resets a TCP socket, so that its peer does not take what it got for the whole', async () => {
    const { near, raw } = await rawPair(tcp);
    const channel = fromNodeStream(near);
    const failed = once(raw, 'error');
    raw.resume();
    channel.error(new Error('enough'));
    expect((await failed)[0]).toMatchObject({ code: 'ECONNRESET' });
  });

  it('I1: a reset by the peer is ECONNRESET', async () => {
    const { near, raw } = await rawPair(tcp);
    const here = record(fromNodeStream(near));
    raw.resetAndDestroy();
    expect(await here.end()).toMatchObject({ code: 'ECONNRESET', cause: { code: 'ECONNRESET' } });
  });

  it('I1: a socket that can not connect is ECONNREFUSED', async () => {
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    server.close();
    await once(server, 'close');
    const channel = fromNodeStream(net.connect(port, '127.0.0.1'));
    channel.next('hello');
    expect(await record(channel).end()).toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('C2: what is sent on a socket that is still connecting goes out when it is connected', async () => {
    const { address } = await serverAt(tcp, ({ data }) => data.subscribe(data));
    if (address.transport !== 'tcp') throw new Error('no port');
    const channel = fromNodeStream(net.connect({ port: address.port, host: address.host, allowHalfOpen: true }));
    channel.next('hello');
    channel.complete();
    expect(Buffer.concat(await lastValueFrom(channel.pipe(toArray()))).toString()).toBe('hello');
  });

  it('C16: without allowHalfOpen an answer to the last message is still sent, then the sending side ends', async () => {
    const [near, far] = duplexPair();
    near.allowHalfOpen = false;
    const channel = fromNodeStream(near).framed(lines());
    const hold = channel.hold();
    channel.subscribe((line) => channel.next(line.toUpperCase()));
    far.write('question\n');
    far.end();
    await turns();
    expect(channel.closed).toBe(false);
    hold.release();
    expect((await buffer(far)).toString()).toBe('QUESTION\n');
    expect(channel.closed).toBe(true);
  });

  it('D3: a frame that can not be decoded ends the channel, and the stream in order', async () => {
    const [near, far] = duplexPair();
    const channel = fromNodeStream(near).framed(lengthPrefixed({ maxLength: 10 }));
    const here = record(channel);
    far.write(Buffer.from([0, 0, 1, 0]));
    expect(await here.end()).toMatchObject({ code: 'ERR_FRAME_TOO_LONG' });
    const rest = buffer(far);
    far.end();
    expect((await rest).length).toBe(0);
    await until(() => near.destroyed);
  });

  it('C4: what is over maxBuffered fails it with ERR_OVERFLOW, and destroys the stream', async () => {
    const stuck = new Duplex({ read: () => undefined, write: () => undefined });
    const channel = fromNodeStream(stuck);
    const here = record(channel);
    for (let count = 0; count < 20; count++) channel.next(Buffer.alloc(100_000));
    expect(await here.end()).toMatchObject({ code: 'ERR_OVERFLOW' });
    await until(() => stuck.closed);
    expect(stuck.errored).toMatchObject({ code: 'ERR_OVERFLOW' });
  });

  it('C8: a source that fails destroys the stream with ERR_HANDLER', async () => {
    const [near] = duplexPair();
    const [left, right] = [fromNodeStream(near), fromNodeStream(duplexPair()[0])];
    const reason = new Error('enough');
    record(relay(left, right));
    right.error(reason);
    await until(() => near.closed);
    expect(near.errored).toMatchObject({ code: 'ERR_HANDLER', cause: { code: 'ERR_CLOSED', cause: reason } });
  });

  it('C8: what the stream has read and not given when it fails is received before the error', async () => {
    const stream = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
    const channel = fromNodeStream(stream);
    const hold = channel.hold();
    const here = record(channel);
    stream.push(Buffer.alloc(70_000));
    await until(() => stream.isPaused());
    stream.push('the rest');
    stream.destroy(new Error('gone'));
    await until(() => stream.closed);
    await turns(3);
    hold.release();
    expect(await here.end()).toMatchObject({ code: 'EIO', cause: { message: 'gone' } });
    expect(Buffer.concat(here.values).subarray(70_000).toString()).toBe('the rest');
  });

  it('I1: several errors of one stream end nothing but the channel', async () => {
    const stream = new Duplex({ autoDestroy: false, read: () => undefined, write: (_c, _e, done) => done() });
    const here = record(fromNodeStream(stream));
    stream.emit('error', new Error('first'));
    stream.emit('error', new Error('second'));
    expect(await here.end()).toMatchObject({ code: 'EIO', cause: { message: 'first' } });
    await until(() => stream.destroyed);
  });

  it('I1: a stream that tells of no close ends in order all the same', async () => {
    const stream = new Duplex({ emitClose: false, read: () => undefined, write: (_c, _e, done) => done() });
    const channel = fromNodeStream(stream);
    const here = record(channel);
    stream.push('last');
    stream.push(null);
    await channel.send('x');
    channel.complete();
    expect(await here.end()).toBe('complete');
    await until(() => stream.writableFinished);
    await turns(3);
    expect(stream.listenerCount('error')).toBe(0);
  });

  it.each([
    ['no stream', {}],
    ['nothing', undefined],
    ['a readable stream', Readable.from(['a'])],
    ['a writable stream', new Writable()],
    ['one in object mode', new PassThrough({ objectMode: true })],
    ['one whose readable side is in object mode', new PassThrough({ readableObjectMode: true })],
    ['one with an encoding', new PassThrough({ encoding: 'utf8' })],
  ])('A5: refuses %s at once', (_what, stream) => {
    expect(() => fromNodeStream(stream as Duplex)).toThrow(expect.objectContaining({ code: 'ERR_OPTION_INVALID' }));
  });

  it('I1: of a stream that was destroyed before, the channel fails', async () => {
    const failed = new PassThrough();
    failed.on('error', () => undefined).destroy(new Error('before'));
    await until(() => failed.closed);
    const destroyed = new PassThrough();
    destroyed.destroy();
    const failing = new PassThrough();
    failing.destroy(new Error('just now'));
    expect(await record(fromNodeStream(failing)).end()).toMatchObject({ code: 'EIO', cause: { message: 'just now' } });
    const gone = new PassThrough();
    gone.destroy();
    await until(() => gone.closed);
    expect(await record(fromNodeStream(failed)).end()).toMatchObject({ code: 'EIO', cause: { message: 'before' } });
    expect(await record(fromNodeStream(destroyed)).end()).toMatchObject({ code: 'ECONNABORTED' });
    expect(await record(fromNodeStream(gone)).end()).toMatchObject({ code: 'ECONNABORTED' });
  });

  it('I1: of a side that has ended before, or is not there, the channel has ended, too', async () => {
    const [near, far] = duplexPair();
    near.end();
    far.resume();
    await once(near, 'finish');
    const receiving = fromNodeStream(near);
    expect(receiving.closed).toBe(true);
    far.end('all there is');
    expect(Buffer.concat(await lastValueFrom(receiving.pipe(toArray()))).toString()).toBe('all there is');

    const written: Buffer[] = [];
    const unreadable = new Duplex({
      ...{ readable: false },
      write: (chunk: Buffer, _encoding, done) => {
        written.push(chunk);
        done();
      },
    });
    const sending = fromNodeStream(unreadable);
    expect(await record(sending).end()).toBe('complete');
    await lastValueFrom(sending.sendFrom(['a', 'b']), { defaultValue: undefined });
    sending.complete();
    await until(() => unreadable.writableFinished);
    expect(Buffer.concat(written).toString()).toBe('ab');

    const over = new PassThrough();
    over.resume().end();
    await until(() => over.closed);
    const ended = fromNodeStream(over);
    expect(await record(ended).end()).toBe('complete');
    await expect(ended.send('x')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });

  it('C19: memory that the library uses again is never left in a stream', async () => {
    const kept: Buffer[] = [];
    const keeping = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        kept.push(chunk);
        done();
      },
    });
    const { near, far } = await pairAt(tcp);
    const channel = fromNodeStream(keeping);
    near.bytes.subscribe(channel);
    const sent: string[] = [];
    for (let number = 0; number < 300; number++) {
      sent.push(`message ${number} ${'x'.repeat(number * 40)}\n`);
      far.bytes.next(sent[number]!);
      if (number % 7 === 0) await turns(1);
    }
    far.bytes.complete();
    await until(() => keeping.writableFinished);
    expect(Buffer.concat(kept).toString()).toBe(sent.join(''));
  });

  it('I1: lets the event loop go round while a stream takes all at once', async () => {
    const taking = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
    const channel = fromNodeStream(taking);
    let isOver = false;
    function* endless(): Generator<Buffer> {
      while (!isOver) yield Buffer.alloc(1_000);
    }
    channel.sendFrom(endless()).subscribe({ complete: () => channel.complete() });
    await turns(100);
    isOver = true;
    await until(() => taking.writableFinished);
    taking.destroy();
  });
});

describe('fromNodeStream over streams of others', () => {
  it('I1: compresses and decompresses with zlib, at the pace of the reader', async () => {
    const [gzip, gunzip] = [fromNodeStream(zlib.createGzip()), fromNodeStream(zlib.createGunzip())];
    gzip.subscribe(gunzip);
    const pieces = Array.from({ length: 300 }, (_, index) => Buffer.alloc(10_000, `${index} `));
    gzip.sendFrom(pieces).subscribe({ complete: () => gzip.complete() });
    const received: Buffer[] = [];
    for await (const chunk of gunzip) {
      received.push(chunk);
      await turns(1);
    }
    expect(Buffer.concat(received).equals(Buffer.concat(pieces))).toBe(true);
  });

  it('I1: tells what zlib finds wrong', async () => {
    const gunzip = fromNodeStream(zlib.createGunzip());
    const here = record(gunzip);
    gunzip.next('this is not compressed');
    expect(await here.end()).toMatchObject({ code: 'EIO', cause: { code: 'Z_DATA_ERROR' } });
  });

  it('I1: talks to a child process, and ends it with complete()', async () => {
    const child = start('cat');
    const channel = fromNodeStream(Duplex.from({ readable: child.stdout, writable: child.stdin }));
    const sent = Array.from({ length: 5_000 }, (_, index) => `line ${index} ${'x'.repeat(index % 100)}`);
    const framed = channel.framed(lines());
    framed.sendFrom(sent).subscribe({ complete: () => framed.complete() });
    const received: string[] = [];
    for await (const line of framed) received.push(line);
    expect(received).toEqual(sent);
    expect(await once(child, 'close')).toEqual([0, null]);
  });

  it('I1: destroys the streams of a child process, which then ends', async () => {
    const child = start('cat');
    const channel = fromNodeStream(Duplex.from({ readable: child.stdout, writable: child.stdin }));
    const here = record(channel);
    channel.next('hello');
    await here.count(1);
    channel.error(new Error('enough'));
    expect(await here.end()).toMatchObject({ code: 'ERR_CLOSED' });
    await once(child, 'close');
  });

  it('K6: relays between a connection of the library and a child process', async () => {
    const { near, raw } = await dialledAt(tcp, { halfOpen: true });
    const child = start('sort');
    const channel = fromNodeStream(Duplex.from({ readable: child.stdout, writable: child.stdin }));
    const relayed = record(relay(near.bytes, channel));
    raw.end('pear\napple\n');
    expect((await readAll(raw)).toString()).toBe('apple\npear\n');
    expect(await relayed.end()).toBe('complete');
  });

  function start(command: string): ChildProcessWithoutNullStreams {
    const child = spawn(command);
    onTestFinished(() => {
      child.kill('SIGKILL');
    });
    return child;
  }
});
