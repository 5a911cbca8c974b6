import { Duplex } from 'node:stream';
import { Observable, Subscription } from 'rxjs';
import type { Address } from '../address/address.js';
import type { Channel } from '../channel/channel.js';
import { host, ofConnection, type ChannelHost } from '../channel/channel-host.js';
import type { ConnectionState } from '../client/connection-state.js';
import type { Connection } from '../connection/connection.js';
import { SocketError } from '../errors/socket-error.js';
import type { ReacquirableHold } from '../flow/hold.js';
import { IdleTimer } from '../scheduling/idle-timer.js';
import type { Flushable } from '../scheduling/flush-scheduler.js';
import { isReported } from '../errors/error-origin.js';
import { number } from '../validation/checks.js';
import { Session } from '../client/session.js';
import { SocketConnection } from '../connection/socket-connection.js';
import type { TlsInfo } from '../transport/tls.js';
import type { SocketControls } from '../transport/transport.js';
import type { SocketStream } from './socket-stream.js';
import { StreamWriter, type Written } from './stream-writer.js';

/** Where a connection goes, and what TLS knows of its peer. */
type Ends = Partial<Pick<Connection, 'local' | 'remote' | 'tls'>>;

type Setting = (controls: SocketControls) => void;

/** The longest time that a timer can take, in ms. */
const longestTimeout = 2 ** 31 - 1;

/** The clients that have a stream: each has one connection, and two readers would take each other's bytes. */
const taken = new WeakSet<Session<any, any>>();

/** Counts the runs of code in which something is written to a stream: each ends with the next tick or microtask. */
let run = 0;
let isRunning = false;

/** The number of the run of the code that runs now. */
function currentRun(): number {
  if (isRunning) return run;
  isRunning = true;
  // Whichever comes first ends it: an error that follows in a tick or in a promise belongs to another run.
  process.nextTick(endRun);
  queueMicrotask(endRun);
  return ++run;
}

function endRun(): void {
  isRunning = false;
}

/** The one implementation of SocketStream. Its own members are `#private`: drivers add members of all names to a socket. */
export class StandIn extends Duplex implements SocketStream {
  connecting = false;
  timeout: number | undefined;

  /** Absent until there is a connection. */
  #channel: Channel<any, any> | undefined;
  #ends: Ends = {};
  #writer: StreamWriter | undefined;
  /** Where the stream dials. */
  readonly #client: Session<any, any> | undefined;
  readonly #dialling = new Subscription();
  readonly #subscriptions = new Subscription();
  #grip: ReacquirableHold | undefined;
  /** Whether the receiving side has given its end. */
  #hasHeardAll = false;
  /** Whether a shutdown waits for this (S7). */
  #isTask = false;
  /** Whether `'connect'` was emitted, or will be. */
  #tellsConnect = false;
  /** What waits for a connection. */
  #waiting: (() => void)[] = [];
  /** What was written before there was one, and is lost if there will be none. */
  #unsent: Written | undefined;
  #settings: Setting[] = [];
  /** How many bytes the writes that are done had. */
  #done = 0;
  #silence: IdleTimer | undefined;
  /** Whether writes wait for the end of the turn, so that they go out together (C3). */
  #isGathering = false;
  /** The run of the last write. */
  #spokeIn = 0;
  #isResetting = false;
  /** Whether the connection is cut off, and not closed gracefully, when the stream is destroyed. */
  #isAborted = false;
  readonly #gathered: Flushable = {
    flush: () => {
      if (!this.#isGathering) return;
      this.#isGathering = false;
      super.uncork();
    },
  };

  /**
   * @param channel - what it reads and writes; that of a client tells which one to dial
   * @param ends - the connection, where it is known
   * @param isRaw - whether a client's connection is read without the codec of the channel
   */
  constructor(channel: Channel<any, any>, ends?: Ends, isRaw = false) {
    super({ emitClose: false });
    const port = channel[host];
    if (!(port instanceof Session)) {
      this.#attach(channel, ends ?? (port instanceof SocketConnection ? port : {}));
      return;
    }
    if (taken.has(port)) {
      throw new SocketError(
        'ERR_OPTION_INVALID',
        'toNodeStream: this client has an open stream already, and a client has one connection: make a client for each stream',
      );
    }
    taken.add(port);
    this.#client = port;
    this.connecting = true;
    if (port.isSecure) Object.assign(this, { encrypted: true });
    this.#dial(port, (connection) => (isRaw ? connection.bytes : channel[ofConnection](connection)));
    // Where it is connected already, nobody has seen that yet.
    if (this.connecting) this.#tellsConnect = true;
  }

  get pending(): boolean {
    return this.#channel === undefined || this.destroyed;
  }

  get readyState(): 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.connecting) return 'opening';
    if (this.readable) return this.writable ? 'open' : 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  get bytesRead(): number {
    return this.#port?.inbound?.received ?? 0;
  }

  get bytesWritten(): number {
    return this.#done + this.writableLength;
  }

  get bufferSize(): number {
    return this.writableLength;
  }

  get remoteAddress(): string | undefined {
    return tcp(this.#ends.remote)?.host;
  }

  get remotePort(): number | undefined {
    return tcp(this.#ends.remote)?.port;
  }

  get remoteFamily(): string | undefined {
    return tcp(this.#ends.remote)?.family;
  }

  get localAddress(): string | undefined {
    return tcp(this.#ends.local)?.host;
  }

  get localPort(): number | undefined {
    return tcp(this.#ends.local)?.port;
  }

  get localFamily(): string | undefined {
    return tcp(this.#ends.local)?.family;
  }

  address(): { address: string; family: string; port: number } | Record<string, never> {
    const local = tcp(this.#ends.local);
    return local === undefined ? {} : { address: local.host, family: local.family, port: local.port };
  }

  connect(...args: readonly unknown[]): this {
    const listener = args.at(-1);
    if (typeof listener === 'function') this.once('connect', listener as () => void);
    if (this.#tellsConnect) return this;
    this.#tellsConnect = true;
    process.nextTick(() => {
      this.#tellConnect();
    });
    return this;
  }

  setTimeout(timeout: number, listener?: () => void): this {
    if (this.destroyed) return this;
    number('a number of milliseconds from 0', (ms) => ms >= 0 && ms < Infinity)('setTimeout: timeout', timeout);
    this.timeout = timeout;
    this.#silence?.stop();
    this.#silence = undefined;
    if (timeout === 0) {
      if (listener !== undefined) this.removeListener('timeout', listener);
      return this;
    }
    if (listener !== undefined) this.once('timeout', listener);
    const signs = {
      count: () => this.bytesRead + (this.#port?.lane.outbound.written ?? 0),
      isListening: () => true,
    };
    // As of a `net.Socket`: the process does not wait for it, so that an idle connection of an http.Agent can be let go.
    this.#silence = new IdleTimer(Math.min(timeout, longestTimeout), () => this.emit('timeout'), signs, false);
    this.#silence.start();
    return this;
  }

  setNoDelay(on = true): this {
    return this.#set((controls) => controls.setNoDelay(on));
  }

  setKeepAlive(on = false, delay = 0): this {
    return this.#set((controls) => controls.setKeepAlive(on, delay));
  }

  ref(): this {
    return this.#set((controls) => controls.ref());
  }

  unref(): this {
    return this.#set((controls) => controls.unref());
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
    this.#isResetting = true;
    return this.destroy();
  }

  override write(chunk: any, encoding?: any, written?: any): boolean {
    if (this.#isEndedByPeer) return this.#refuse(written ?? encoding);
    this.#gather();
    // eslint-disable-next-line @typescript-eslint/no-unsafe-argument -- in whatever of Node's forms it was called
    return super.write(chunk, encoding, written);
  }

  override end(chunk?: any, encoding?: any, finished?: any): this {
    this.#spokeIn = currentRun();
    // eslint-disable-next-line @typescript-eslint/no-unsafe-argument -- in whatever of Node's forms it was called
    return super.end(chunk, encoding, finished);
  }

  override destroy(error?: Error | null, destroyed?: (error?: Error | null) => void): this {
    if (!this.destroyed) this.#sendRest(error ?? undefined);
    // Node calls it with a callback at times, which its own types leave out.
    const destroy: (error?: Error, destroyed?: (error?: Error | null) => void) => this = super.destroy.bind(this);
    return destroy(error ?? undefined, destroyed);
  }

  override _read(): void {
    this.#whenAttached(() => this.#grip?.release());
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, written: Written): void {
    this.#send([chunk], written);
  }

  override _writev(chunks: { chunk: Buffer }[], written: Written): void {
    const pieces = chunks.map(({ chunk }) => chunk);
    this.#send(pieces, written);
  }

  override _final(finished: Written): void {
    this.#whenAttached(() => {
      this.#port?.complete();
      this.#endTask();
      finished();
    });
  }

  override _destroy(error: Error | null, destroyed: (error: Error | null) => void): void {
    this.connecting = false;
    // A write that is called back after this must not start it again: its timer would keep the process.
    this.#silence?.stop();
    this.#silence = undefined;
    this.#waiting = [];
    this.#subscriptions.unsubscribe();
    this.#grip?.release();
    this.#endTask();
    const port = this.#port;
    if (this.#isAborted) port?.destroy(error ?? undefined);
    else void port?.close();
    if (this.#client !== undefined) taken.delete(this.#client);
    this.#dialling.unsubscribe();
    // A peer cannot end the process: what a server reports need not be handled here (S19).
    destroyed(isReported(error) && this.listenerCount('error') === 0 ? null : error);
    this.#unsent?.(error ?? new SocketError('ERR_CLOSED', 'the stream was destroyed before it was connected'));
    const close = (): void => {
      setImmediate(() => this.emit('close', error !== null));
    };
    if (port === undefined || error !== null || this.#isAborted) close();
    else port.lane.whenFlushed(close, close);
  }

  get #port(): ChannelHost | undefined {
    return this.#channel?.[host];
  }

  #dial(client: Session<any, any>, channelOf: (connection: SocketConnection<any, any>) => Channel<any, any>): void {
    const states = new Observable<ConnectionState<any, any>>((subscriber) => client.watch(subscriber));
    const ended = (error: unknown): void => {
      if (this.#channel === undefined) this.destroy(error as Error);
    };
    this.#dialling.add(
      states.subscribe({
        next: (state) => {
          const { status } = state;
          if (this.#channel !== undefined) {
            // What another connection gives would be another stream.
            if (status === 'disconnected') this.#dialling.unsubscribe();
          } else if (status === 'connected' && state.connection instanceof SocketConnection) {
            this.#attach(channelOf(state.connection), state.connection);
            if (this.#tellsConnect) this.#tellConnect();
          }
        },
        error: ended,
        complete: () => {
          ended(new SocketError('ERR_CLOSED', 'the client ended before it was connected'));
        },
      }),
    );
  }

  /** There is a connection. */
  #attach(channel: Channel<any, any>, ends: Ends): void {
    const port = channel[host];
    this.#channel = channel;
    this.#ends = ends;
    this.#writer = new StreamWriter(channel);
    this.connecting = false;
    this.#isTask = true;
    port.lane.begin();
    if (port instanceof SocketConnection) this.allowHalfOpen = port.handToStream();
    if (ends.tls !== undefined) Object.assign(this, membersOf(ends.tls));
    this.#grip = channel.hold() as ReacquirableHold;
    this.#subscriptions.add(
      channel.subscribe({
        next: (chunk: Buffer) => {
          this.#noteActivity();
          if (!this.push(chunk)) this.#grip?.take();
        },
        error: (error: unknown) => {
          this.#hasHeardAll = true;
          this.destroy(error as Error);
        },
        complete: () => {
          this.#hasHeardAll = true;
          this.push(null);
          // As of a `net.Socket`: the end comes though nobody reads, where nothing comes before it.
          this.read(0);
        },
      }),
    );
    // `closed` never fails.
    // eslint-disable-next-line rxjs-x/no-ignored-error
    this.#subscriptions.add(port.carrier?.closed.subscribe(({ error }) => this.#disconnected(error)));
    for (const setting of this.#settings.splice(0)) this.#set(setting);
    for (const work of this.#waiting.splice(0)) work();
    this.read(0);
  }

  /** The connection is gone. What it has received and nobody has read comes first, and then its end. */
  #disconnected(error: Error | undefined): void {
    if (error === undefined) {
      if (this.readableEnded) this.destroy();
      else this.once('end', () => this.destroy());
    } else if (this.#hasHeardAll) this.destroy(error);
  }

  #tellConnect(): void {
    if (this.destroyed) return;
    this.emit('connect');
    if ('encrypted' in this) this.emit('secureConnect');
    this.emit('ready');
  }

  #set(setting: Setting): this {
    const port = this.#port;
    if (port === undefined) this.#settings.push(setting);
    else if (port instanceof SocketConnection && port.controls !== undefined) setting(port.controls);
    return this;
  }

  #whenAttached(work: () => void): void {
    if (this.#channel === undefined) this.#waiting.push(work);
    else work();
  }

  #send(pieces: readonly Buffer[], written: Written): void {
    this.#unsent = written;
    this.#whenAttached(() => {
      this.#unsent = undefined;
      this.#noteActivity();
      this.#writer?.write(pieces, (error) => {
        if (error === undefined) for (const { length } of pieces) this.#done += length;
        this.#noteActivity();
        written(error);
      });
    });
  }

  /** What is written in one turn goes out in one write. */
  #gather(): void {
    this.#spokeIn = currentRun();
    const port = this.#port;
    if (this.#isGathering || port === undefined || this.destroyed) return;
    this.#isGathering = true;
    super.cork();
    const { turn } = port.lane.outbound;
    if (turn === undefined) process.nextTick(() => this.#gathered.flush());
    else turn.addPublisher(this.#gathered);
  }

  /** Whether the peer's end has ended this side, too. */
  get #isEndedByPeer(): boolean {
    return !this.allowHalfOpen && this.readableEnded && this.writableEnded && !this.destroyed;
  }

  /** Fails as a `net.Socket` does. */
  #refuse(written: unknown): boolean {
    const error = new SocketError('EPIPE', 'the stream has ended, because the peer has: see the option halfOpen');
    if (typeof written === 'function') process.nextTick(written, error);
    this.destroy(error);
    return false;
  }

  #noteActivity(): void {
    this.#silence?.interrupt();
    this.#silence?.start();
  }

  #endTask(): void {
    if (!this.#isTask) return;
    this.#isTask = false;
    this.#port?.lane.finish();
  }

  /** The stream is about to be destroyed: what was written is sent, as far as it is to be. */
  #sendRest(error: Error | undefined): void {
    const port = this.#port;
    if (port === undefined) return;
    const hasLastWord = isRunning && this.#spokeIn === run;
    const isOwnEnd = error !== undefined && port.owns(error);
    this.#isAborted = this.#isResetting || (error !== undefined && !hasLastWord && !isOwnEnd);
    if (this.#isResetting || isOwnEnd) return;
    while (this.writableCorked > 0) super.uncork();
    if (!this.#isAborted) this.#writer?.handOver(this.#notPassedOn);
    port.lane.outbound.flush();
  }

  /** What the Writable keeps while a write is under way. */
  get #notPassedOn(): Buffer[] {
    const { writableBuffer = [] } = this as { writableBuffer?: readonly { chunk: Buffer }[] };
    return writableBuffer.map(({ chunk }) => chunk);
  }
}

/** What only a socket with TLS has. */
function membersOf(tls: TlsInfo): object {
  return {
    encrypted: true,
    authorized: tls.authorized,
    authorizationError: tls.authorizationError ?? null,
    alpnProtocol: tls.alpnProtocol ?? false,
    servername: tls.servername ?? false,
    getPeerCertificate: () => tls.peerCertificate,
    getProtocol: () => tls.protocol,
    getSession: () => tls.session,
  };
}

function tcp(address: Address | undefined): { host: string; port: number; family: string } | undefined {
  if (address?.transport !== 'tcp') return undefined;
  const { host, port } = address;
  return { host, port, family: host.includes(':') ? 'IPv6' : 'IPv4' };
}
