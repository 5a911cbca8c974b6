import { Duplex } from 'node:stream';
import { Subscription } from 'rxjs';
import type { Channel } from '../../channel/channel.js';
import type { ChannelHost } from '../../channel/channel-host.js';
import { host, ofConnection } from '../../channel/internal-access.js';
import { SocketError } from '../../errors/socket-error.js';
import { pacingHold, type ReacquirableHold } from '../../flow/hold.js';
import { IdleTimer } from '../../scheduling/idle-timer.js';
import type { Flushable } from '../../scheduling/flush-scheduler.js';
import { isReported } from '../../errors/error-origin.js';
import { number } from '../../validation/checks.js';
import { Session } from '../../client/session.js';
import { SocketConnection } from '../../connection/socket-connection.js';
import type { SocketControls } from '../../transport/transport.js';
import { ClientDial } from './client-dial.js';
import { type ConnectionInfo, tcpAddress, tlsMembers } from './connection-info.js';
import type { SocketStream } from './socket-stream.js';
import { PacedWriter, type WriteCallback } from './paced-writer.js';
import { currentRun, isCurrentRun } from './synchronous-run.js';

type Setting = (controls: SocketControls) => void;

/** The work and settings of a stream that has no connection yet. */
interface Unattached {
  readonly kind: 'unattached';
  readonly work: ((attached: Attached) => void)[];
  readonly settings: Setting[];
  pendingWrite: WriteCallback | undefined;
}

interface Attached {
  readonly kind: 'attached';
  readonly host: ChannelHost;
  readonly info: ConnectionInfo;
  readonly writer: PacedWriter;
  readonly hold: ReacquirableHold;
}

/** See {@link endOfConnection}. */
type ConnectionEnd = 'close' | 'none' | 'abort' | 'reset';

const maxTimeout = 2 ** 31 - 1;

/**
 * Drivers add members of any name to a socket. The members of this class are `#private`, so that no driver replaces a
 * member.
 */
export class NetSocketStream extends Duplex implements SocketStream {
  connecting = false;
  timeout: number | undefined;

  #state: Unattached | Attached = { kind: 'unattached', work: [], settings: [], pendingWrite: undefined };
  readonly #dial: ClientDial | undefined;
  readonly #subscriptions = new Subscription();
  #hasReceivedEnd = false;
  /** Whether a shutdown has to wait for this stream (S7). */
  #isTask = false;
  /** Whether `'connect'` was emitted, or will be emitted. */
  #emitsConnect = false;
  #writtenBytes = 0;
  #idleTimer: IdleTimer | undefined;
  /** Whether the writes of this turn are being collected into one write (C3). */
  #isCollecting = false;
  /** Identifies the synchronous run in which `write` or `end` was last called (see `currentRun`). */
  #lastWriteRun = 0;
  /** What the destruction of the stream does to the connection. The final value is set when the stream is destroyed. */
  #connectionEnd: ConnectionEnd = 'close';
  readonly #collectedWrites: Flushable = {
    flush: () => {
      if (!this.#isCollecting) return;
      this.#isCollecting = false;
      super.uncork();
    },
  };

  /**
   * @param channel - the channel to read and write. If the channel belongs to a client, the client dials
   * @param info - the connection of the channel, if the connection is known
   * @param isRaw - whether the stream carries a client's bytes, without the codec
   */
  constructor(channel: Channel<any, any>, info?: ConnectionInfo, isRaw = false) {
    super({ emitClose: false });
    const client = channel[host];
    if (!(client instanceof Session)) {
      this.#attach(channel, info ?? (client instanceof SocketConnection ? client : {}));
      return;
    }
    this.#dial = new ClientDial(client);
    this.connecting = true;
    if (client.isSecure) Object.assign(this, { encrypted: true });
    this.#dial.start({
      connected: (connection) => {
        try {
          this.#attach(isRaw ? connection.bytes : channel[ofConnection](connection), connection);
        } catch (error) {
          // A codec has thrown this error.
          this.destroy(error as Error);
          return;
        }
        if (this.#emitsConnect) this.#emitConnect();
      },
      failed: (error) => {
        this.destroy(error as Error);
      },
    });
    // If the client was already connected, 'connect' is not emitted, because nobody can have added a listener to the
    // stream before the constructor returns.
    if (this.connecting) this.#emitsConnect = true;
  }

  get pending(): boolean {
    return this.#state.kind === 'unattached' || this.destroyed;
  }

  get readyState(): 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.connecting) return 'opening';
    if (this.readable) return this.writable ? 'open' : 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  get bytesRead(): number {
    return this.#host?.inbound?.received ?? 0;
  }

  get bytesWritten(): number {
    return this.#writtenBytes + this.writableLength;
  }

  get bufferSize(): number {
    return this.writableLength;
  }

  get remoteAddress(): string | undefined {
    return tcpAddress(this.#info.remote)?.host;
  }

  get remotePort(): number | undefined {
    return tcpAddress(this.#info.remote)?.port;
  }

  get remoteFamily(): string | undefined {
    return tcpAddress(this.#info.remote)?.family;
  }

  get localAddress(): string | undefined {
    return tcpAddress(this.#info.local)?.host;
  }

  get localPort(): number | undefined {
    return tcpAddress(this.#info.local)?.port;
  }

  get localFamily(): string | undefined {
    return tcpAddress(this.#info.local)?.family;
  }

  address(): { address: string; family: string; port: number } | Record<string, never> {
    const local = tcpAddress(this.#info.local);
    return local === undefined ? {} : { address: local.host, family: local.family, port: local.port };
  }

  connect(...args: readonly unknown[]): this {
    const listener = args.at(-1);
    if (typeof listener === 'function') this.once('connect', listener as () => void);
    if (this.#emitsConnect) return this;
    this.#emitsConnect = true;
    process.nextTick(() => {
      this.#emitConnect();
    });
    return this;
  }

  setTimeout(timeout: number, listener?: () => void): this {
    if (this.destroyed) return this;
    number('a number of milliseconds from 0', (ms) => ms >= 0 && ms < Infinity)('setTimeout: timeout', timeout);
    this.timeout = timeout;
    this.#idleTimer?.stop();
    this.#idleTimer = undefined;
    if (timeout === 0) {
      if (listener !== undefined) this.removeListener('timeout', listener);
      return this;
    }
    if (listener !== undefined) this.once('timeout', listener);
    const activity = {
      count: () => this.bytesRead + (this.#host?.outbound.written ?? 0),
      isListening: () => true,
    };
    // The idle timer does not keep the process running, and neither does the timer of a `net.Socket`.
    this.#idleTimer = new IdleTimer(Math.min(timeout, maxTimeout), () => this.emit('timeout'), activity, false);
    this.#idleTimer.start();
    return this;
  }

  // As in Node, any truthy value switches an option on.
  setNoDelay(on: unknown = true): this {
    return this.#applySetting((controls) => controls.setNoDelay(Boolean(on)));
  }

  setKeepAlive(on: unknown = false, delay = 0): this {
    return this.#applySetting((controls) => controls.setKeepAlive(Boolean(on), delay));
  }

  ref(): this {
    return this.#applySetting((controls) => controls.ref());
  }

  unref(): this {
    return this.#applySetting((controls) => controls.unref());
  }

  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else {
      this.once('finish', () => {
        this.destroy();
      });
    }
  }

  resetAndDestroy(): this {
    if (this.connecting) {
      this.once('connect', () => this.resetAndDestroy());
      return this;
    }
    if (!this.destroyed) this.#connectionEnd = 'reset';
    return this.destroy();
  }

  override write(chunk: any, encoding?: any, callback?: any): boolean {
    if (this.#isEndedByPeer) return this.#refuse(callback ?? encoding);
    this.#collect();
    // eslint-disable-next-line @typescript-eslint/no-unsafe-argument -- each of Node's overloads ends here
    return super.write(chunk, encoding, callback);
  }

  override end(chunk?: any, encoding?: any, callback?: any): this {
    this.#lastWriteRun = currentRun();
    // eslint-disable-next-line @typescript-eslint/no-unsafe-argument -- each of Node's overloads ends here
    return super.end(chunk, encoding, callback);
  }

  override destroy(error?: Error | null, callback?: (error?: Error | null) => void): this {
    if (!this.destroyed) this.#sendRest(error ?? undefined);
    // Node sometimes passes a callback, although Node's types of `destroy` do not declare this parameter.
    const destroy: (error?: Error, callback?: (error?: Error | null) => void) => this = super.destroy.bind(this);
    return destroy(error ?? undefined, callback);
  }

  override _read(): void {
    this.#whenAttached(({ hold }) => hold.release());
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: WriteCallback): void {
    this.#send([chunk], callback);
  }

  override _writev(chunks: { chunk: Buffer }[], callback: WriteCallback): void {
    const pieces = chunks.map(({ chunk }) => chunk);
    this.#send(pieces, callback);
  }

  override _final(callback: WriteCallback): void {
    this.#whenAttached(({ host: channelHost }) => {
      channelHost.complete();
      this.#endTask();
      callback();
    });
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.connecting = false;
    // When a pending write calls its callback later, the callback must not start the idle timer again.
    this.#idleTimer?.stop();
    this.#idleTimer = undefined;
    this.#subscriptions.unsubscribe();
    const state = this.#state;
    if (state.kind === 'attached') state.hold.release();
    this.#endTask();
    const channelHost = this.#host;
    const isAborted = this.#connectionEnd === 'abort' || this.#connectionEnd === 'reset';
    if (isAborted) channelHost?.destroy(error ?? undefined);
    else void channelHost?.close();
    this.#dial?.release();
    // If the stream has no listener for 'error', emitting 'error' would end the process, and a peer must not be able to
    // end the process (S19). An error for which `isReported` returns true is already reported by the server.
    callback(isReported(error) && this.listenerCount('error') === 0 ? null : error);
    if (state.kind === 'unattached') failPendingWrite(state, error);
    const close = (): void => {
      setImmediate(() => this.emit('close', error !== null));
    };
    if (channelHost === undefined || error !== null || isAborted) close();
    else channelHost.lane.whenFlushed(close, close);
  }

  get #host(): ChannelHost | undefined {
    return this.#state.kind === 'attached' ? this.#state.host : undefined;
  }

  get #info(): ConnectionInfo {
    return this.#state.kind === 'attached' ? this.#state.info : {};
  }

  #attach(channel: Channel<any, any>, info: ConnectionInfo): void {
    const before = this.#state;
    if (before.kind === 'attached') return;
    const channelHost = channel[host];
    this.connecting = false;
    this.#isTask = true;
    channelHost.lane.begin();
    if (channelHost instanceof SocketConnection) {
      channelHost.keepSendingAfterPeer();
      this.allowHalfOpen = !channelHost.endsNodeStreamsAfterPeer;
    }
    if (info.tls !== undefined) Object.assign(this, tlsMembers(info.tls));
    const hold = pacingHold(channel);
    const attached: Attached = { kind: 'attached', host: channelHost, info, writer: new PacedWriter(channel), hold };
    this.#state = attached;
    this.#subscriptions.add(
      channel.subscribe({
        next: (chunk: Buffer) => {
          this.#restartIdleTimer();
          if (!this.push(chunk)) hold.acquire();
        },
        error: (error: unknown) => {
          this.#hasReceivedEnd = true;
          this.destroy(error as Error);
        },
        complete: () => {
          this.#hasReceivedEnd = true;
          this.push(null);
          // If there are no unread bytes, the stream emits 'end' although the program does not read, as a `net.Socket`
          // does.
          this.read(0);
        },
      }),
    );
    // The Observable `closed` never emits an error.
    // eslint-disable-next-line rxjs-x/no-ignored-error
    this.#subscriptions.add(channelHost.carrier?.closed.subscribe(({ error }) => this.#disconnected(error)));
    for (const setting of before.settings) this.#applySetting(setting);
    // If the channel had already failed, the call of `subscribe` above has destroyed the stream.
    if (this.destroyed) failPendingWrite(before, this.errored);
    else for (const work of before.work) work(attached);
    this.read(0);
  }

  /** After a clean close of the connection, the stream is destroyed only when the program has read all bytes. */
  #disconnected(error: Error | undefined): void {
    if (error === undefined) {
      if (this.readableEnded) this.destroy();
      else this.once('end', () => this.destroy());
    } else if (this.#hasReceivedEnd) this.destroy(error);
  }

  #emitConnect(): void {
    if (this.destroyed) return;
    this.emit('connect');
    if ('encrypted' in this) this.emit('secureConnect');
    this.emit('ready');
  }

  #applySetting(setting: Setting): this {
    const state = this.#state;
    if (state.kind === 'unattached') state.settings.push(setting);
    else if (state.host instanceof SocketConnection && state.host.controls !== undefined) setting(state.host.controls);
    return this;
  }

  #whenAttached(work: (attached: Attached) => void): void {
    if (this.#state.kind === 'unattached') this.#state.work.push(work);
    else work(this.#state);
  }

  #send(pieces: readonly Buffer[], callback: WriteCallback): void {
    if (this.#state.kind === 'unattached') this.#state.pendingWrite = callback;
    this.#whenAttached(({ writer }) => {
      this.#restartIdleTimer();
      writer.write(pieces, (error) => {
        if (error === undefined) for (const { length } of pieces) this.#writtenBytes += length;
        this.#restartIdleTimer();
        callback(error);
      });
    });
  }

  /** Collects the writes of a turn into one write. */
  #collect(): void {
    this.#lastWriteRun = currentRun();
    const channelHost = this.#host;
    if (this.#isCollecting || channelHost === undefined || this.destroyed) return;
    this.#isCollecting = true;
    super.cork();
    const { scheduler } = channelHost.outbound;
    if (scheduler === undefined) process.nextTick(() => this.#collectedWrites.flush('turn'));
    else scheduler.addPublisher(this.#collectedWrites);
  }

  get #isEndedByPeer(): boolean {
    return !this.allowHalfOpen && this.readableEnded && this.writableEnded && !this.destroyed;
  }

  #refuse(callback: unknown): boolean {
    const error = new SocketError(
      'EPIPE',
      'the stream has ended because the peer has ended it: see the option halfOpen',
    );
    if (typeof callback === 'function') process.nextTick(callback, error);
    this.destroy(error);
    return false;
  }

  #restartIdleTimer(): void {
    this.#idleTimer?.interrupt();
    this.#idleTimer?.start();
  }

  #endTask(): void {
    if (!this.#isTask) return;
    this.#isTask = false;
    this.#host?.lane.finish();
  }

  /**
   * Call before the stream is destroyed. If the connection will be closed gracefully, this method first sends the values
   * written to the stream that are not sent yet.
   */
  #sendRest(error: Error | undefined): void {
    const state = this.#state;
    if (state.kind === 'unattached' || this.#connectionEnd === 'reset') return;
    this.#connectionEnd = endOfConnection(error, state.host, isCurrentRun(this.#lastWriteRun));
    if (this.#connectionEnd === 'none') return;
    while (this.writableCorked > 0) super.uncork();
    if (this.#connectionEnd === 'close') state.writer.sendRest(this.#bufferedChunks);
    state.host.outbound.flush('haste');
  }

  get #bufferedChunks(): Buffer[] {
    const { writableBuffer = [] } = this as { writableBuffer?: readonly { chunk: Buffer }[] };
    return writableBuffer.map(({ chunk }) => chunk);
  }
}

/**
 * Decides what `destroy` does to the connection:
 *
 * | error                | written in this run of code | connection                                             |
 * |----------------------|-----------------------------|--------------------------------------------------------|
 * | none                 | yes or no                   | `close`: sends everything written, and then closes     |
 * | the connection's own | yes or no                   | `none`: has ended already                              |
 * | any other            | yes                         | `close`: the bytes explain the error to the peer       |
 * | any other            | no                          | `abort`: is reset                                      |
 *
 * `resetAndDestroy` always resets the connection (`reset`).
 */
function endOfConnection(error: Error | undefined, connection: ChannelHost, wasJustWritten: boolean): ConnectionEnd {
  if (error === undefined) return 'close';
  if (connection.owns(error)) return 'none';
  return wasJustWritten ? 'close' : 'abort';
}

function failPendingWrite(state: Unattached, error: Error | null): void {
  state.pendingWrite?.(error ?? new SocketError('ERR_CLOSED', 'the stream was destroyed before it was connected'));
}
