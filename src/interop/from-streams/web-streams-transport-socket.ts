import type { Address } from '../../address/address.js';
import { SocketError } from '../../errors/socket-error.js';
import { systemError } from '../../errors/node-errors.js';
import type { FlushScheduler } from '../../scheduling/flush-scheduler.js';
import { processFlushScheduler } from '../../scheduling/process-flush-scheduler.js';
import type { SocketEvents } from '../../transport/transport.js';
import { destroyReason, type StreamSocket } from './connection-over-stream.js';
import type { ValueCodec } from './value-codec.js';

const webStreams: Address = { transport: 'memory', name: 'web-streams' };

/** When the socket has read this many bytes, it waits for the next turn of the event loop before it reads more. */
const maxReadAtOnce = 65_536;

function ignore(): void {
  // After a reset, no error is reported. Before a reset, `writer.closed` or `writeValues` reports the error.
}

/** The bytes written to this socket are placeholders for values. */
export class WebStreamsTransportSocket<In, Out> implements StreamSocket {
  readonly local: Address = webStreams;
  readonly remote: Address = webStreams;
  readonly scheduler: FlushScheduler = processFlushScheduler;
  readonly tls = undefined;

  private readonly reader: ReadableStreamDefaultReader<In>;
  private readonly writer: WritableStreamDefaultWriter<Out>;
  private readonly codec: ValueCodec<In, Out>;
  private events: SocketEvents | undefined;
  private isPaused = false;
  /** `reading`: a read is pending, or the next read waits for the next turn of the event loop. */
  private readableState: 'idle' | 'reading' | 'closed' = 'idle';
  private writableState: 'open' | 'closed' = 'open';
  private readAtOnce = 0;
  private isReset = false;
  private resetReason: SocketError | undefined;
  /**
   * The number of placeholder bytes written to this socket, minus the weights of the values written to the stream. A
   * value is written when its first placeholder byte arrives, so the number is negative until the value's last
   * placeholder byte arrives.
   */
  private creditInBytes = 0;
  /** In the current write, the number of bytes that belong to values which the stream has not written yet. */
  private pendingBytes = 0;

  constructor(
    reader: ReadableStreamDefaultReader<In>,
    writer: WritableStreamDefaultWriter<Out>,
    codec: ValueCodec<In, Out>,
  ) {
    this.reader = reader;
    this.writer = writer;
    this.codec = codec;
  }

  get unsent(): number {
    return this.isReset ? Infinity : this.pendingBytes;
  }

  open(events: SocketEvents): void {
    this.events = events;
    this.read();
  }

  /**
   * Calls `closed` when the writable stream has closed, even if the stream closed before `whenWritableClosed` was
   * called.
   */
  whenWritableClosed(closed: () => void): void {
    this.writer.closed.then(
      () => {
        this.writableState = 'closed';
        closed();
        this.finishIfOver();
      },
      (error: unknown) => {
        this.fail(error);
      },
    );
  }

  setResetReason(error: SocketError): void {
    this.resetReason ??= error;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    this.read();
  }

  write(data: Uint8Array | string): boolean {
    this.passOn(data.length);
    return false;
  }

  writeAll(pieces: readonly Uint8Array[]): boolean {
    this.passOn(pieces.reduce((sum, { length }) => sum + length, 0));
    return false;
  }

  end(): void {
    // `writer.closed` reports whether the stream has closed without an error.
    if (this.writableState === 'open') this.writer.close().catch(ignore);
  }

  reset(): void {
    if (this.isReset) return;
    this.isReset = true;
    const reason = this.resetReason === undefined ? undefined : destroyReason(this.resetReason);
    if (this.writableState === 'open') this.writer.abort(reason).catch(ignore);
    if (this.readableState !== 'closed') this.reader.cancel(reason).catch(ignore);
    this.release();
    setImmediate(() => this.events?.onClose(undefined));
  }

  private read(): void {
    if (this.readableState !== 'idle' || this.isPaused || this.isReset) return;
    this.readableState = 'reading';
    this.reader.read().then(
      (result) => {
        if (this.isReset) return;
        if (result.done) this.finishReading();
        else this.receive(result.value);
      },
      (error: unknown) => {
        this.fail(error);
      },
    );
  }

  private receive(value: In): void {
    if (value === undefined) {
      this.fail(
        new SocketError('ERR_FRAME_INVALID', 'the readable stream emitted `undefined`, which a Channel cannot emit'),
      );
      return;
    }
    this.readAtOnce += this.codec.receive(value, (chunk) => {
      if (!this.isReset) this.events?.onData(chunk);
    });
    if (this.readAtOnce < maxReadAtOnce) {
      this.readableState = 'idle';
      this.read();
      return;
    }
    setImmediate(() => {
      this.readAtOnce = 0;
      this.readableState = 'idle';
      this.read();
    });
  }

  private finishReading(): void {
    this.readableState = 'closed';
    this.events?.onEnd();
    this.finishIfOver();
  }

  /** Writes the values whose first placeholder byte is among the next `size` bytes. */
  private passOn(size: number): void {
    this.creditInBytes += size;
    this.pendingBytes = size;
    this.writeValues().then(
      () => {
        this.pendingBytes = 0;
        // Call `onDrain` in a later turn. If `onDrain` were called in this turn, a source as fast as the stream would
        // block the event loop.
        setImmediate(() => {
          if (!this.isReset) this.events?.onDrain();
        });
      },
      (error: unknown) => {
        this.fail(error);
      },
    );
  }

  private async writeValues(): Promise<void> {
    const { outgoing } = this.codec;
    const writes: Promise<void>[] = [];
    for (let next = outgoing.first; next !== undefined && this.creditInBytes > 0; next = outgoing.first) {
      const { value, weight } = next;
      outgoing.shift();
      this.creditInBytes -= weight;
      await this.writer.ready;
      if (this.isReset) return;
      const written = this.writer.write(value).then(() => {
        this.pendingBytes = Math.max(0, this.pendingBytes - weight);
      });
      written.catch(ignore);
      writes.push(written);
    }
    await Promise.all(writes);
  }

  private finishIfOver(): void {
    if (this.isReset || this.readableState !== 'closed' || this.writableState !== 'closed') return;
    this.release();
    setImmediate(() => {
      if (!this.isReset) this.events?.onClose(undefined);
    });
  }

  private fail(cause: unknown): void {
    if (!this.isReset) this.events?.onClose(systemError(cause, 'a stream failed', webStreams));
  }

  private release(): void {
    this.reader.releaseLock();
    this.writer.releaseLock();
  }
}
