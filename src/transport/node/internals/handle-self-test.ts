import net from 'node:net';
import {
  acceptHandles,
  endOfFile,
  findStreamHandles,
  type ShutdownRequest,
  type StreamHandle,
  type StreamHandles,
  type WriteRequest,
} from './stream-handle.js';

// Tries stream handles out before the first server uses them: two connections over an abstract unix socket, between a
// handle and a plain `net.Socket`.

/** The test may take twice this time, in ms. It needs a few ms. */
const timeLimit = 1_000;

/** Blocks of this size, in bytes, are written until the kernel's buffers are full; at most `maxBlocks`. */
const blockSize = 131_072;
const maxBlocks = 64;

let tested: Promise<StreamHandles | undefined> | undefined;

/** Resolves with undefined if handles do not work as expected. The test runs once in a process. */
export function streamHandles(): Promise<StreamHandles | undefined> {
  tested ??= test();
  return tested;
}

async function test(): Promise<StreamHandles | undefined> {
  const handles = findStreamHandles();
  return handles !== undefined && (await passesSelfTest(handles)) ? handles : undefined;
}

export async function passesSelfTest(handles: StreamHandles): Promise<boolean> {
  const attempt = new SelfTest(handles);
  try {
    await attempt.run();
    return true;
  } catch {
    return false;
  } finally {
    attempt.end();
  }
}

class SelfTest {
  private readonly handles: StreamHandles;
  private readonly server = net.createServer();
  private readonly plain: net.Socket[] = [];
  private readonly accepted: StreamHandle[] = [];
  private readonly path = `\0rxjs-sockets-${process.pid}-${Math.random().toString(36).slice(2)}`;
  private timer: NodeJS.Timeout | undefined;
  /** Rejects when an event has shown that handles do not work. */
  private readonly broken: Promise<never>;
  private reject: (reason: unknown) => void = () => undefined;

  constructor(handles: StreamHandles) {
    this.handles = handles;
    this.broken = new Promise((_, reject) => {
      this.reject = reject;
    });
    // A failure that comes after the test must not be an unhandled rejection.
    this.broken.catch(() => undefined);
  }

  async run(): Promise<void> {
    // After a busy time, a timer is called before the events that have happened. So wait once more.
    this.timer = setTimeout(() => {
      this.timer = setTimeout(() => {
        this.reject(new Error('the self-test timed out'));
      }, timeLimit);
    }, timeLimit);
    await this.event((done) => {
      this.server.once('error', this.reject).listen({ path: this.path, exclusive: true }, done);
    });
    await this.carries();
    await this.reportsErrors();
  }

  end(): void {
    clearTimeout(this.timer);
    this.server.close();
    for (const socket of this.plain) socket.destroy();
    for (const handle of this.accepted) handle.close();
  }

  /** Reads, writes in each way, a write that has to wait, both ends of the stream, and the close. */
  private async carries(): Promise<void> {
    const { handles } = this;
    const [socket, handle] = await this.pair();

    const [first, second] = [Buffer.alloc(16), Buffer.alloc(16)];
    handle.useUserBuffer(first);
    const results: number[] = [];
    let next: (() => void) | undefined;
    handle.onread = () => {
      results.push(handles.readResult);
      next?.();
      return results.length === 1 ? second : undefined;
    };
    expectEqual(handle.readStart(), 0);
    await this.event((done) => {
      next = done;
      socket.write('one');
    });
    await this.event((done) => {
      next = done;
      socket.write('three');
    });
    expectEqual(results, [3, 5]);
    expectEqual([first.toString('latin1', 0, 3), second.toString('latin1', 0, 5)], ['one', 'three']);

    expectEqual(this.isQueued(handle.writeLatin1String(handles.newWrite(), '\u00fc')), false);
    expectEqual(this.isQueued(handle.writeUtf8String(handles.newWrite(), '\u00fc')), false);
    const pieces = [Buffer.from('a'), Buffer.from('b')];
    expectEqual(this.isQueued(handle.writev(handles.newWrite(), pieces, true)), false);
    const block = Buffer.alloc(blockSize, 'x');
    let request: WriteRequest;
    let blocks = 0;
    do {
      request = handles.newWrite();
      blocks++;
    } while (!this.isQueued(handle.writeBuffer(request, block)) && blocks < maxBlocks);
    expectEqual(handles.isWriteQueued && handle.writeQueueSize > 0, true);
    let received = Buffer.alloc(0);
    await Promise.all([
      this.event((done) => {
        request.oncomplete = (status) => {
          if (status === 0) done();
          else this.reject(new Error('a write failed'));
        };
      }),
      this.event((done) => {
        socket.on('data', (chunk: Buffer) => {
          if (received.length < 16) received = Buffer.concat([received, chunk.subarray(0, 16)]);
          if (socket.bytesRead === blocks * blockSize + 5) done();
        });
      }),
    ]);
    expectEqual(received.toString('latin1', 0, 6), '\u00fc\u00c3\u00bcabx');
    expectEqual(handle.writeQueueSize, 0);

    await Promise.all([
      this.event((done) => socket.once('end', done)),
      this.event((done) => {
        const shutdown: ShutdownRequest = handles.newShutdown();
        shutdown.oncomplete = (status) => {
          if (status === 0) done();
        };
        expectEqual(handle.shutdown(shutdown), 0);
      }),
    ]);
    await this.event((done) => {
      next = done;
      socket.end();
    });
    expectEqual(results.at(-1), endOfFile);
    await this.event((done) => {
      this.accepted.splice(this.accepted.indexOf(handle), 1);
      handle.close(done);
    });
  }

  /** A write to a peer that has gone. */
  private async reportsErrors(): Promise<void> {
    const [socket, handle] = await this.pair();
    await this.event((done) => socket.once('close', done).destroy());
    const status = handle.writeUtf8String(this.handles.newWrite(), 'x');
    expectEqual(status < 0, true);
  }

  private async pair(): Promise<[net.Socket, StreamHandle]> {
    let done: (handle: StreamHandle) => void = () => undefined;
    const accepted = this.event<StreamHandle>((resolve) => (done = resolve));
    const isTaken = acceptHandles(
      this.server,
      (handle) => {
        this.accepted.push(handle);
        done(handle);
      },
      this.reject,
    );
    expectEqual(isTaken, true);
    const socket = net.connect({ path: this.path }).on('error', this.reject);
    this.plain.push(socket);
    await this.event((done) => socket.once('connect', done));
    return [socket, await accepted];
  }

  /** Whether a part of the write that has just returned `status` is queued. */
  private isQueued(status: number): boolean {
    expectEqual(status, 0);
    return this.handles.isWriteQueued;
  }

  /** Waits until `start` calls back. */
  private event<T = void>(start: (done: (value: T) => void) => void): Promise<T> {
    const happened = new Promise<T>((resolve) => {
      start(resolve);
    });
    const result = Promise.race([this.broken, happened]);
    // It may be awaited only later.
    result.catch(() => undefined);
    return result;
  }
}

function expectEqual(actual: unknown, expected: unknown): void {
  if (JSON.stringify(actual) !== JSON.stringify(expected))
    throw new Error(`${String(actual)}, not ${String(expected)}`);
}
