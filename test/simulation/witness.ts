import { type Address, formatAddress, type SocketError, type Transport } from 'rxjs-sockets';
import type { SocketEvents, TransportSocket } from '../../src/transport/transport.js';
import type { Findings } from './findings.js';
import { decodeMessage, type Kind, kindOf, type Message } from './message.js';

/** Gets the events on the sockets of one transport. */
export interface Listening {
  /** Called when a socket was dialled. */
  dialled?(socket: WitnessedSocket): void;
  /** Called when a complete message was written to a socket. */
  wrote?(socket: WitnessedSocket, message: Message): void;
  /** Called when a socket was cut off inside a message. The rest of the message is lost. */
  tore?(socket: WitnessedSocket, kind: Kind | undefined): void;
}

/** The sockets of all witnesses of one network, by the address of the side that dialled. */
export interface Ends {
  readonly open: Set<WitnessedSocket>;
  readonly near: Map<string, WitnessedSocket>;
  readonly far: Map<string, WitnessedSocket>;
}

/**
 * Watches a transport, and passes on every call and every event. Reports each violation of the interface by either
 * side, and received bytes that differ from the written bytes.
 */
export function witnessed(inner: Transport, findings: Findings, ends: Ends, listening: Listening = nobody): Transport {
  const enter = (socket: WitnessedSocket): void => {
    ends.open.add(socket);
  };
  const leave = (socket: WitnessedSocket): void => {
    ends.open.delete(socket);
  };
  return facade<Transport>(inner, {
    listen: (address, options, events) =>
      inner.listen(address, options, {
        ...events,
        onConnection: (socket) => {
          const name = formatAddress(socket.remote);
          const far: WitnessedSocket = new WitnessedSocket(
            socket,
            findings,
            listening,
            () => ends.near.get(name),
            () => leave(far),
          );
          enter(far);
          ends.far.set(name, far);
          events.onConnection(far.facade);
        },
      }),
    connect: (address, options, events) =>
      inner.connect(address, options, {
        ...events,
        onConnect: (socket) => {
          const name = formatAddress(socket.local);
          const near: WitnessedSocket = new WitnessedSocket(
            socket,
            findings,
            listening,
            () => ends.far.get(name),
            () => leave(near),
          );
          enter(near);
          ends.near.set(name, near);
          listening.dialled?.(near);
          events.onConnect(near.facade);
        },
      }),
  });
}

/** Returns an object like `inner`, in which the methods of `instead` replace those of `inner`. */
function facade<T extends object>(inner: T, instead: Partial<T>): T {
  return new Proxy(inner, {
    get(target, key): unknown {
      if (key in instead) return instead[key as keyof T];
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

const nobody: Listening = {};
const nothing: Buffer = Buffer.alloc(0);

type Phase = 'fresh' | 'open' | 'reset' | 'gone';

export class WitnessedSocket {
  /** The watched socket, which the library gets in place of the real socket. */
  readonly facade: TransportSocket;
  readonly name: string;
  readonly remote: Address;
  /** The complete messages that were written to this socket. */
  readonly messages: Message[] = [];
  /** The complete messages that have arrived at this socket. */
  readonly arrived: Message[] = [];
  /** Whether the sending side was ended. */
  ended = false;
  endedAt = Infinity;
  aborted = false;

  private readonly inner: TransportSocket;
  private readonly findings: Findings;
  private readonly listening: Listening;
  private readonly peer: () => WitnessedSocket | undefined;
  private readonly left: () => void;
  private phase: Phase = 'fresh';
  private awaited = false;
  private finished = false;
  /** Bytes that were written to this socket and have not yet arrived at the peer. */
  private readonly underway: Buffer[] = [];
  /** The beginning of an incomplete message, for each direction. */
  private restOut: Buffer = nothing;
  private restIn: Buffer = nothing;

  constructor(
    inner: TransportSocket,
    findings: Findings,
    listening: Listening,
    peer: () => WitnessedSocket | undefined,
    left: () => void,
  ) {
    this.inner = inner;
    this.findings = findings;
    this.listening = listening;
    this.peer = peer;
    this.left = left;
    this.name = `${formatAddress(inner.local)} -> ${formatAddress(inner.remote)}`;
    this.remote = inner.remote;
    this.facade = facade<TransportSocket>(inner, {
      open: (events) => this.open(events),
      write: (data, encoding) => this.write(data, encoding),
      writeAll: (pieces) => this.writeAll(pieces),
      end: () => this.end(),
      reset: () => this.reset(),
    });
  }

  get hasWritten(): boolean {
    return this.messages.length > 0 || this.restOut.length > 0;
  }

  private open(events: SocketEvents): void {
    if (this.phase !== 'fresh' && this.phase !== 'reset') this.wrong('opened twice');
    if (this.phase === 'fresh') this.phase = 'open';
    this.inner.open({
      onData: (chunk) => {
        if (this.phase !== 'open' || this.finished) this.wrong('reported bytes after its end');
        this.compare(chunk);
        if (this.listening !== nobody) this.restIn = messagesIn(this.restIn, [chunk], this.arrived);
        events.onData(chunk);
      },
      onEnd: () => {
        if (this.phase !== 'open' || this.finished) this.wrong('reported a FIN after its end');
        this.finished = true;
        const peer = this.peer();
        if (peer?.ended !== true || peer.underway.length > 0) this.wrong('reported a FIN before its time');
        events.onEnd();
      },
      onDrain: () => {
        if (!this.awaited) this.wrong('reported a write that nobody waits for');
        this.awaited = false;
        events.onDrain();
      },
      onClose: (error: SocketError | undefined) => {
        if (this.phase === 'gone') this.wrong('was closed twice');
        this.phase = 'gone';
        this.left();
        this.findings.note(() => `${this.name} is gone${error === undefined ? '' : `: ${error.code}`}`);
        events.onClose(error);
      },
    });
  }

  private write(data: Uint8Array | string, encoding: 'utf8' | 'latin1'): boolean {
    this.record([typeof data === 'string' ? Buffer.from(data, encoding) : data]);
    return this.wrote(this.inner.write(data, encoding));
  }

  private writeAll(pieces: readonly Uint8Array[]): boolean {
    this.record(pieces);
    return this.wrote(this.inner.writeAll(pieces));
  }

  private end(): void {
    if (this.ended || this.phase !== 'open') this.wrong('was ended after its end');
    // A socket that has ended during a write can no longer be reset.
    if (this.awaited) this.wrong('was ended while a write was under way');
    if (this.restOut.length > 0) this.findings.wrong('C6', `${this.name} was ended inside a message`);
    this.ended = true;
    this.endedAt = Date.now();
    this.findings.note(() => `${this.name} ends`);
    this.inner.end();
  }

  private reset(): void {
    this.findings.note(() => `${this.name} is reset`);
    if (this.phase === 'fresh') {
      // The transport does not report the end of a socket that was never opened.
      this.phase = 'reset';
      this.left();
    }
    if (this.restOut.length > 0 && !this.aborted) this.listening.tore?.(this, kindOf(this.restOut));
    this.aborted = true;
    this.inner.reset();
  }

  private record(pieces: readonly Uint8Array[]): void {
    if (this.phase !== 'open') this.wrong(`was written to while ${this.phase}`);
    if (this.ended) this.wrong('was written to after its end');
    if (this.aborted) this.wrong('was written to after its reset');
    if (this.awaited) this.wrong('was written to before it had taken the last write');
    for (const piece of pieces) {
      if (piece.length === 0) this.wrong('was asked to write nothing');
      this.underway.push(Buffer.from(piece));
    }
    if (this.listening === nobody) return;
    const { messages } = this;
    const before = messages.length;
    this.restOut = messagesIn(this.restOut, pieces, messages);
    for (let at = before; at < messages.length; at++) this.listening.wrote?.(this, messages[at]!);
  }

  private wrote(taken: boolean): boolean {
    this.awaited = !taken;
    return taken;
  }

  /** Asserts that the arriving bytes are those that the other side has written. */
  private compare(chunk: Buffer): void {
    const underway = this.peer()?.underway ?? [];
    let rest = chunk;
    while (rest.length > 0) {
      const [next] = underway;
      if (next === undefined) {
        this.findings.wrong('C1', `${this.name} gave ${rest.length} bytes more than were written`);
        return;
      }
      const length = Math.min(next.length, rest.length);
      if (Buffer.compare(next.subarray(0, length), rest.subarray(0, length)) !== 0) {
        this.findings.wrong('C1', `${this.name} gave other bytes than were written`);
      }
      if (length === next.length) underway.shift();
      else underway[0] = next.subarray(length);
      rest = rest.subarray(length);
    }
  }

  private wrong(what: string): void {
    this.findings.wrong('transport', `${this.name} ${what}`);
  }
}

/** Adds the complete messages of a stream to `messages`, and returns the bytes after these messages. */
function messagesIn(rest: Buffer, chunks: readonly Uint8Array[], messages: Message[]): Buffer {
  let data = rest.length === 0 && chunks.length === 1 ? Buffer.from(chunks[0]!) : Buffer.concat([rest, ...chunks]);
  while (data.length >= 4) {
    const end = 4 + data.readUInt32BE();
    if (data.length < end) break;
    messages.push(decodeMessage(data.subarray(4, end)));
    data = data.subarray(end);
  }
  return data;
}
