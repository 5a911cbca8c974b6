import type { Address } from '../address/address.js';
import { SocketError } from '../errors/socket-error.js';
import { systemError } from '../errors/node-errors.js';
import type { FlushScheduler } from '../scheduling/flush-scheduler.js';
import { processFlushScheduler } from '../scheduling/process-flush-scheduler.js';
import type { SocketEvents } from '../transport/transport.js';
import { reasonFor, type StreamSocket } from './stream-connection.js';
import type { ValueCodec } from './value-codec.js';

/** What a Channel over web streams names as the address of both ends. */
const webStreams: Address = { transport: 'memory', name: 'web-streams' };

/** After so many bytes that were there at once the event loop goes round before more is read. */
const mostAtOnce = 65_536;

function ignore(): void {
  // Whoever reads or writes next reports it.
}

/** Two web streams behind the interface that the connections are built on. The bytes that it is given stand for values. */
export class WebStreamsSocket<In, Out> implements StreamSocket {
  readonly local: Address = webStreams;
  readonly remote: Address = webStreams;
  readonly scheduler: FlushScheduler = processFlushScheduler;
  readonly tls = undefined;

  private readonly reader: ReadableStreamDefaultReader<In>;
  private readonly writer: WritableStreamDefaultWriter<Out>;
  private readonly codec: ValueCodec<In, Out>;
  private events: SocketEvents | undefined;
  private isPaused = false;
  private isReading = false;
  /** How much was read since the event loop went round last. */
  private readAtOnce = 0;
  private hasRead = false;
  private hasWritten = false;
  /** Whether nothing more is to be reported. */
  private deaf = false;
  private reason: SocketError | undefined;
  /** How many bytes were written beyond those of the values that the stream was given; under 0 while some of those are to come. */
  private granted = 0;
  /** How many bytes of the write under way stand for values that the stream has not taken. */
  private waiting = 0;

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
    return this.deaf ? Infinity : this.waiting;
  }

  open(events: SocketEvents): void {
    this.events = events;
    this.read();
  }

  /** Calls `closed` if the writable stream is closed, or was before it came here. */
  whenClosed(closed: () => void): void {
    this.writer.closed.then(
      () => {
        this.hasWritten = true;
        closed();
        this.finishIfOver();
      },
      (error: unknown) => {
        this.fail(error);
      },
    );
  }

  failing(error: SocketError): void {
    this.reason ??= error;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    this.read();
  }

  write(data: Uint8Array | string): boolean {
    this.pass(data.length);
    return false;
  }

  writeAll(pieces: readonly Uint8Array[]): boolean {
    this.pass(pieces.reduce((sum, { length }) => sum + length, 0));
    return false;
  }

  end(): void {
    // How that ends, `closed` tells.
    if (!this.hasWritten) this.writer.close().catch(ignore);
  }

  reset(): void {
    if (this.deaf) return;
    this.deaf = true;
    const reason = this.reason === undefined ? undefined : reasonFor(this.reason);
    if (!this.hasWritten) this.writer.abort(reason).catch(ignore);
    if (!this.hasRead) this.reader.cancel(reason).catch(ignore);
    this.release();
    setImmediate(() => this.events?.onClose(undefined));
  }

  /** Reads the next value, unless one is being read. */
  private read(): void {
    if (this.isReading || this.isPaused || this.hasRead || this.deaf) return;
    this.isReading = true;
    this.reader.read().then(
      (result) => {
        if (this.deaf) return;
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
      this.fail(new SocketError('ERR_FRAME_INVALID', 'the stream has given `undefined`, which can not be emitted'));
      return;
    }
    this.readAtOnce += this.codec.receive(value, (chunk) => {
      if (!this.deaf) this.events?.onData(chunk);
    });
    if (this.readAtOnce < mostAtOnce) {
      this.isReading = false;
      this.read();
      return;
    }
    setImmediate(() => {
      this.readAtOnce = 0;
      this.isReading = false;
      this.read();
    });
  }

  private finishReading(): void {
    this.hasRead = true;
    this.events?.onEnd();
    this.finishIfOver();
  }

  /** Gives the stream the values that begin in `size` more bytes: until it has taken them, none of their bytes counts as taken. */
  private pass(size: number): void {
    this.granted += size;
    this.waiting = size;
    this.writeValues().then(
      () => {
        this.waiting = 0;
        // Told at once, a source that is as fast as the stream would keep the event loop from going round.
        setImmediate(() => {
          if (!this.deaf) this.events?.onDrain();
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
    for (let next = outgoing.first; next !== undefined && this.granted > 0; next = outgoing.first) {
      const { value, weight } = next;
      outgoing.shift();
      this.granted -= weight;
      await this.writer.ready;
      if (this.deaf) return;
      const written = this.writer.write(value).then(() => {
        this.waiting = Math.max(0, this.waiting - weight);
      });
      written.catch(ignore);
      writes.push(written);
    }
    await Promise.all(writes);
  }

  private finishIfOver(): void {
    if (this.deaf || !this.hasRead || !this.hasWritten) return;
    this.release();
    setImmediate(() => {
      if (!this.deaf) this.events?.onClose(undefined);
    });
  }

  private fail(cause: unknown): void {
    if (!this.deaf) this.events?.onClose(systemError(cause, 'a stream failed', webStreams));
  }

  private release(): void {
    this.reader.releaseLock();
    this.writer.releaseLock();
  }
}
