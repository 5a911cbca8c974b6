import { Duplex } from 'node:stream';
import { Observable, Subscription } from 'rxjs';
import type { Address } from '../address.js';
import { type Channel, host, ofConnection, type Port } from '../channel.js';
import type { Connection } from '../connection.js';
import { SocketError } from '../errors.js';
import type { Grip } from '../hold.js';
import { Silence } from '../io/silence.js';
import type { Flushable } from '../io/turn.js';
import { isReported } from '../origin.js';
import { Session } from '../session.js';
import { SocketConnection } from '../socket-connection.js';
import type { TlsInfo } from '../transport/tls.js';
import type { SocketControls } from '../transport/transport.js';
import { StreamWriter, type Written } from './stream-writer.js';

/** Where a connection goes, and what TLS knows of its peer. */
type Ends = Pick<Connection, 'local' | 'remote' | 'tls'>;

type Setting = (controls: SocketControls) => void;

/** The states of `net.Socket`. */
type ReadyState = 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed';

/** The longest time that a timer can take, in ms. */
const longest = 2 ** 31 - 1;

/**
 * A Duplex that stands in for a `net.Socket` (I2): its readable side is a view of what a connection receives, its writable side sends
 * on it.
 */
export class SocketStream extends Duplex {
  /** Whether the client behind it is not connected yet. */
  connecting = false;
  /** What `setTimeout` was called with last. */
  timeout: number | undefined;

  private channel: Channel<any, any> | undefined;
  private ends: Partial<Ends> = {};
  private writer: StreamWriter | undefined;
  private readonly client: Session<any, any> | undefined;
  /** Everything that it is subscribed to. */
  private readonly subscriptions = new Subscription();
  private grip: Grip | undefined;
  /** Whether the receiving side has given its end. */
  private hasEnded = false;
  /** Whether a shutdown waits for it (S7). */
  private isTask = false;
  private hasConnected = false;
  /** What waits until there is a connection. */
  private waiting: (() => void)[] = [];
  private settings: Setting[] = [];
  /** Counts the bytes whose writes are done. */
  private done = 0;
  private silence: Silence | undefined;
  /** Whether what is written waits for the end of the turn, so that it goes out in one write (C3). */
  private isGathering = false;
  /** Whether something was written by the code that runs now. */
  private isSpeaking = false;
  private isResetting = false;
  private readonly gathered: Flushable = {
    flush: () => {
      if (!this.isGathering) return;
      this.isGathering = false;
      super.uncork();
    },
  };

  /**
   * @param channel - what it reads and writes; of a client, what its first connection is read through
   * @param ends - the connection, if it is known
   * @param isRaw - whether the bytes are read without the codec of the channel
   */
  constructor(channel: Channel<any, any>, ends?: Ends, isRaw = false) {
    super({ emitClose: false });
    const port = channel[host];
    if (!(port instanceof Session)) {
      this.attach(channel, ends ?? (port instanceof SocketConnection ? port : {}));
      return;
    }
    this.client = port;
    this.connecting = true;
    if (port.isSecure) this.secured(undefined);
    this.subscriptions.add(
      new Observable<ConnectionStateOf>((subscriber) => port.watch(subscriber)).subscribe({
        next: (state) => {
          if (state.status !== 'connected' || this.channel !== undefined || this.destroyed) return;
          const connection = state.connection as SocketConnection<any, any>;
          this.attach(isRaw ? connection.bytes : channel[ofConnection](connection), connection);
          this.connected();
        },
        error: (error: Error) => {
          if (this.channel === undefined) this.destroy(error);
        },
        complete: () => {
          if (this.channel === undefined)
            this.destroy(new SocketError('ERR_CLOSED', 'the client ended before it was connected'));
        },
      }),
    );
  }

  /** Whether there is no connection yet. */
  get pending(): boolean {
    return this.channel === undefined || this.connecting;
  }

  get readyState(): ReadyState {
    if (this.connecting) return 'opening';
    if (this.readable) return this.writable ? 'open' : 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  get bytesRead(): number {
    return this.port?.inbound?.received ?? 0;
  }

  get bytesWritten(): number {
    return this.done + this.writableLength;
  }

  get bufferSize(): number {
    return this.writableLength;
  }

  get remoteAddress(): string | undefined {
    return tcp(this.ends.remote)?.host;
  }

  get remotePort(): number | undefined {
    return tcp(this.ends.remote)?.port;
  }

  get remoteFamily(): string | undefined {
    return familyOf(this.ends.remote);
  }

  get localAddress(): string | undefined {
    return tcp(this.ends.local)?.host;
  }

  get localPort(): number | undefined {
    return tcp(this.ends.local)?.port;
  }

  get localFamily(): string | undefined {
    return familyOf(this.ends.local);
  }

  address(): { address: string; family: string; port: number } | Record<string, never> {
    const local = tcp(this.ends.local);
    if (local === undefined) return {};
    return { address: local.host, family: familyOf(local) ?? '', port: local.port };
  }

  /** The stream dials by itself: this is for drivers that do it, and has `'connect'` emitted for those who wait for it. */
  connect(...args: unknown[]): this {
    const listener = args.at(-1);
    if (typeof listener === 'function') this.once('connect', listener as () => void);
    if (!this.connecting && !this.hasConnected) {
      this.hasConnected = true;
      process.nextTick(() => {
        if (!this.destroyed) this.tellConnected();
      });
    }
    return this;
  }

  setTimeout(timeout: number, listener?: () => void): this {
    if (this.destroyed) return this;
    if (typeof timeout !== 'number') throw new TypeError('setTimeout: the time must be a number of milliseconds');
    if (!(timeout >= 0 && timeout < Infinity))
      throw new RangeError('setTimeout: the time must be finite and not negative');
    this.timeout = timeout;
    this.silence?.stop();
    this.silence = undefined;
    if (timeout === 0) {
      if (listener !== undefined) this.removeListener('timeout', listener);
      return this;
    }
    const signs = { count: () => this.bytesRead + (this.port?.lane.outbound.written ?? 0), isListening: () => true };
    this.silence = new Silence(Math.min(timeout, longest), () => this.emit('timeout'), signs);
    this.silence.start();
    if (listener !== undefined) this.once('timeout', listener);
    return this;
  }

  setNoDelay(on = true): this {
    return this.set((controls) => controls.setNoDelay(on));
  }

  setKeepAlive(on = false, delay = 0): this {
    return this.set((controls) => controls.setKeepAlive(on, delay));
  }

  ref(): this {
    return this.set((controls) => controls.ref());
  }

  unref(): this {
    return this.set((controls) => controls.unref());
  }

  /** Ends the writable side, and destroys the stream when all is written. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else {
      this.once('finish', () => {
        this.destroy();
      });
    }
  }

  /** Destroys the stream, and the connection with a reset where the transport has one. */
  resetAndDestroy(): this {
    if (this.connecting) {
      this.once('connect', () => this.resetAndDestroy());
      return this;
    }
    this.isResetting = true;
    return this.destroy();
  }

  override write(chunk: any, encoding?: any, written?: any): boolean {
    this.gather();
    // eslint-disable-next-line @typescript-eslint/no-unsafe-argument -- in whatever of Node's forms it was called
    return super.write(chunk, encoding, written);
  }

  override end(chunk?: any, encoding?: any, finished?: any): this {
    this.speak();
    // eslint-disable-next-line @typescript-eslint/no-unsafe-argument -- in whatever of Node's forms it was called
    return super.end(chunk, encoding, finished);
  }

  override destroy(error?: Error | null, destroyed?: (error?: Error | null) => void): this {
    if (!this.destroyed) this.settle(error);
    return (super.destroy as (error?: Error | null, destroyed?: unknown) => this).call(
      this,
      error ?? undefined,
      destroyed,
    );
  }

  override _read(): void {
    this.whenAttached(() => this.grip?.release());
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, written: Written): void {
    this.send([chunk], written);
  }

  override _writev(chunks: { chunk: Buffer }[], written: Written): void {
    this.send(
      chunks.map(({ chunk }) => chunk),
      written,
    );
  }

  override _final(finished: Written): void {
    this.whenAttached(() => {
      this.port?.complete();
      this.endTask();
      finished();
    });
  }

  override _destroy(error: Error | null, destroyed: (error: Error | null) => void): void {
    this.connecting = false;
    this.silence?.stop();
    this.waiting = [];
    this.subscriptions.unsubscribe();
    this.grip?.release();
    // Nobody has to handle what a server reports (S19).
    destroyed(isReported(error) && this.listenerCount('error') === 0 ? null : error);
    const close = (): void => {
      setImmediate(() => this.emit('close', error !== null));
    };
    this.endTask();
    const { port } = this;
    if (port === undefined || error !== null || this.isResetting) close();
    else port.lane.whenFlushed(close, close);
  }

  private get port(): Port | undefined {
    return this.channel?.[host];
  }

  /** There is a connection. */
  private attach(channel: Channel<any, any>, ends: Partial<Ends>): void {
    const port = channel[host];
    this.channel = channel;
    this.ends = ends;
    this.connecting = false;
    this.writer = new StreamWriter(channel);
    this.isTask = true;
    port.lane.begin();
    if (port instanceof SocketConnection) this.allowHalfOpen = port.handToStream();
    if (ends.tls !== undefined) this.secured(ends.tls);
    this.grip = channel.hold() as Grip;
    this.subscriptions.add(
      channel.subscribe({
        next: (chunk: Buffer) => {
          this.noteActivity();
          if (!this.push(chunk)) this.grip?.take();
        },
        error: (error: Error) => {
          this.hasEnded = true;
          this.destroy(error);
        },
        complete: () => {
          this.hasEnded = true;
          this.push(null);
          this.read(0);
        },
      }),
    );
    if (port.carrier !== undefined) {
      this.subscriptions.add(port.carrier.closed.subscribe(({ error }) => this.disconnected(error)));
    }
    for (const setting of this.settings.splice(0)) this.set(setting);
    for (const work of this.waiting.splice(0)) work();
    this.read(0);
  }

  /** The connection is gone; what of it was not read yet is still given, and its end after that. */
  private disconnected(error: Error | undefined): void {
    if (error !== undefined) {
      if (this.hasEnded) this.destroy(error);
    } else if (this.readableEnded) this.destroy();
    else {
      this.once('end', () => {
        this.destroy();
      });
    }
  }

  private connected(): void {
    this.hasConnected = true;
    this.tellConnected();
  }

  private tellConnected(): void {
    this.emit('connect');
    if ('encrypted' in this) this.emit('secureConnect');
    this.emit('ready');
  }

  /** What there is on a TLS socket only: whoever asks whether it is there learns whether the connection speaks TLS. */
  private secured(tls: TlsInfo | undefined): void {
    Object.assign(this, { encrypted: true });
    if (tls === undefined) return;
    Object.assign(this, {
      authorized: tls.authorized,
      authorizationError: tls.authorizationError ?? null,
      alpnProtocol: tls.alpnProtocol ?? false,
      servername: tls.servername ?? false,
      getPeerCertificate: () => tls.peerCertificate,
      getProtocol: () => tls.protocol,
      getSession: () => tls.session,
    });
  }

  private set(setting: Setting): this {
    const { port } = this;
    if (port === undefined) this.settings.push(setting);
    else if (port instanceof SocketConnection && port.controls !== undefined) setting(port.controls);
    return this;
  }

  private whenAttached(work: () => void): void {
    if (this.channel === undefined) this.waiting.push(work);
    else work();
  }

  private send(pieces: readonly Buffer[], written: Written): void {
    this.whenAttached(() => {
      this.noteActivity();
      this.writer?.write(pieces, (error) => {
        if (error === undefined || error === null) for (const piece of pieces) this.done += piece.length;
        this.noteActivity();
        written(error);
      });
    });
  }

  /** What is written in one turn goes out in one write. */
  private gather(): void {
    this.speak();
    if (this.isGathering || this.port === undefined || this.destroyed) return;
    this.isGathering = true;
    super.cork();
    const { turn } = this.port.lane.outbound;
    if (turn === undefined) process.nextTick(() => this.gathered.flush());
    else turn.addPublisher(this.gathered);
  }

  private speak(): void {
    if (this.isSpeaking) return;
    this.isSpeaking = true;
    queueMicrotask(() => {
      this.isSpeaking = false;
    });
  }

  private noteActivity(): void {
    this.silence?.interrupt();
    this.silence?.start();
  }

  private endTask(): void {
    if (!this.isTask) return;
    this.isTask = false;
    this.port?.lane.finish();
  }

  /** Before it is destroyed: what was written is sent (I3), and the connection ends. */
  private settle(error: Error | null | undefined): void {
    const { port, writer } = this;
    if (port === undefined || writer === undefined) return;
    const isAborted = this.isResetting || (error !== undefined && error !== null && !this.isSpeaking);
    if (!this.isResetting) {
      while (this.writableCorked > 0) super.uncork();
      if (!isAborted) writer.handOver(this.unsent);
      port.lane.outbound.flush();
    }
    if (isAborted) port.destroy(error ?? undefined);
    else void port.close();
  }

  /** What the Writable has not passed on yet. */
  private get unsent(): Buffer[] {
    const { writableBuffer = [] } = this as { writableBuffer?: readonly { chunk: Buffer }[] };
    return writableBuffer.map(({ chunk }) => chunk);
  }
}

/** What the stream has to know of a state of the client. */
interface ConnectionStateOf {
  readonly status: string;
  readonly connection?: unknown;
}

function tcp(address: Address | undefined): (Address & { transport: 'tcp' }) | undefined {
  return address?.transport === 'tcp' ? address : undefined;
}

function familyOf(address: Address | undefined): string | undefined {
  const where = tcp(address);
  if (where === undefined) return undefined;
  return where.host.includes(':') ? 'IPv6' : 'IPv4';
}
