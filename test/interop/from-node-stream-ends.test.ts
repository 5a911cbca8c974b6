import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { Duplex, PassThrough, Readable, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import zlib from 'node:zlib';
import { lastValueFrom, toArray } from 'rxjs';
import { relay } from 'rxjs-sockets';
import { lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { fromNodeStream } from '../../src/interop/index.js';
import { duplexPair } from '../support/interop/duplex-pair.js';
import '../support/leaks.js';
import { tcp } from '../support/transport/places.js';
import { dialledAt, pairAt, serverAt } from '../support/connection/connected-pairs.js';
import { readAll } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';
import { rawPair } from '../support/interop/raw-pair.js';

describe('fromNodeStream', () => {
  it('C8: error() resets a TCP socket and does not end it, so the peer notices an incomplete stream', async () => {
    const { near, raw } = await rawPair(tcp);
    const channel = fromNodeStream(near);
    const failed = once(raw, 'error');
    raw.resume();
    channel.error(new Error('enough'));
    expect((await failed)[0]).toMatchObject({ code: 'ECONNRESET' });
  });

  it('I1: reports a reset by the peer as ECONNRESET', async () => {
    const { near, raw } = await rawPair(tcp);
    const here = record(fromNodeStream(near));
    raw.resetAndDestroy();
    expect(await here.end()).toMatchObject({ code: 'ECONNRESET', cause: { code: 'ECONNRESET' } });
  });

  it('I1: reports a socket that cannot connect as ECONNREFUSED', async () => {
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    server.close();
    await once(server, 'close');
    const channel = fromNodeStream(net.connect(port, '127.0.0.1'));
    channel.next('hello');
    expect(await record(channel).end()).toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('C2: queues values for a connecting socket, and sends them once the socket is connected', async () => {
    const { address } = await serverAt(tcp, ({ data }) => data.subscribe(data));
    if (address.transport !== 'tcp') throw new Error('no port');
    const channel = fromNodeStream(net.connect({ port: address.port, host: address.host, allowHalfOpen: true }));
    channel.next('hello');
    channel.complete();
    expect(Buffer.concat(await lastValueFrom(channel.pipe(toArray()))).toString()).toBe('hello');
  });

  it('C16: without allowHalfOpen, sends an answer to the last message, then ends the sending side', async () => {
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

  it('D3: if a bad frame arrives, fails the channel, and ends the stream cleanly', async () => {
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

  it('C4: fails the channel with ERR_OVERFLOW beyond maxBuffered, and destroys the stream', async () => {
    const stuck = new Duplex({ read: () => undefined, write: () => undefined });
    const channel = fromNodeStream(stuck);
    const here = record(channel);
    for (let count = 0; count < 20; count++) channel.next(Buffer.alloc(100_000));
    expect(await here.end()).toMatchObject({ code: 'ERR_OVERFLOW' });
    await until(() => stuck.closed);
    expect(stuck.errored).toMatchObject({ code: 'ERR_OVERFLOW' });
  });

  it('C8: destroys the stream with ERR_HANDLER if the other side of a relay fails', async () => {
    const [near] = duplexPair();
    const [left, right] = [fromNodeStream(near), fromNodeStream(duplexPair()[0])];
    const reason = new Error('enough');
    record(relay(left, right));
    right.error(reason);
    await until(() => near.closed);
    expect(near.errored).toMatchObject({ code: 'ERR_HANDLER', cause: { code: 'ERR_CLOSED', cause: reason } });
  });

  it('C8: if the stream fails, emits the data that the stream had read before, then the error', async () => {
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

  it('I1: if the stream emits several errors, reports the first, and leaves none unhandled', async () => {
    const stream = new Duplex({ autoDestroy: false, read: () => undefined, write: (_c, _e, done) => done() });
    const here = record(fromNodeStream(stream));
    stream.emit('error', new Error('first'));
    stream.emit('error', new Error('second'));
    expect(await here.end()).toMatchObject({ code: 'EIO', cause: { message: 'first' } });
    await until(() => stream.destroyed);
  });

  it('I1: ends cleanly even if the stream emits no close event', async () => {
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
    ['an object that is not a stream', {}],
    ['undefined', undefined],
    ['a readable stream', Readable.from(['a'])],
    ['a writable stream', new Writable()],
    ['a stream in object mode', new PassThrough({ objectMode: true })],
    ['a stream whose readable side is in object mode', new PassThrough({ readableObjectMode: true })],
    ['a stream with an encoding', new PassThrough({ encoding: 'utf8' })],
  ])('A5: refuses %s at once', (_what, stream) => {
    expect(() => fromNodeStream(stream as Duplex)).toThrow(expect.objectContaining({ code: 'ERR_OPTION_INVALID' }));
  });

  it('I1: fails the channel of a stream that is already destroyed', async () => {
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

  it('I1: a side of the stream that has ended or is missing counts as ended', async () => {
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

  it('C19: memory that the library reuses is never passed to a stream', async () => {
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

  it('I1: lets the event loop run even if the stream accepts every write immediately', async () => {
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

describe('fromNodeStream over other Node streams', () => {
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

  it("I1: reports zlib's errors", async () => {
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

  it('I1: error() destroys the streams of a child process, and the process then ends', async () => {
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
