// Performs random operations on accepted sockets and on their plain clients, and checks what both observe. Prints one
// line of JSON. Usage: handle-fuzzer.ts ADDRESS SEED STEPS, with `--expose-gc`.
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Address, nodeTransport, parseAddress } from 'rxjs-sockets';
import { seededRandom } from '../../../../src/testing/seeded-random.js';
import { HandleSocket } from '../../../../src/transport/node/handle-socket.js';
import { streamHandles } from '../../../../src/transport/node/internals/handle-self-test.js';
import type { BorrowingSocketEvents, TransportSocket } from '../../../../src/transport/transport.js';
import { server as identity } from './tls/certificates.js';
import { listenerOptions } from './listener-options.js';

const [place = '', seed = '1', steps = '1000'] = process.argv.slice(2);
const random = seededRandom(Number(seed));
const chance = (probability: number): boolean => random() < probability;
const upTo = (limit: number): number => Math.floor(random() * limit);
const pick = <T>(values: readonly T[]): T => values[upTo(values.length)]!;

/** Thrown by callbacks on purpose. */
class Planned extends Error {}
process.on('uncaughtException', (error) => {
  if (error instanceof Planned) return;
  console.error(error);
  process.exit(1);
});

/** Bytes that show their position in the stream, from `offset` on. */
function bytes(offset: number, length: number): Buffer {
  const block = Buffer.allocUnsafeSlow(length);
  for (let index = 0; index < length; index++) block[index] = (offset + index) % 251;
  return block;
}

function check(isTrue: boolean, what: string): void {
  if (!isTrue) throw new Error(`seed ${seed}, round ${rounds}: ${what}`);
}

/** Counts received bytes, and checks their order. */
class Received {
  length = 0;

  add(chunk: Uint8Array): void {
    for (let index = 0; index < chunk.length; index += 97) {
      check(chunk[index] === (this.length + index) % 251, 'a byte is out of order');
    }
    this.length += chunk.length;
  }
}

/** One connection: what each side has done and seen. */
class Round {
  readonly socket: TransportSocket;
  readonly client: net.Socket;
  /** Whether any side may lose bytes, because one side has aborted the connection. */
  private isAborted = false;
  private readonly isGentle = chance(0.3);
  private sent = { up: 0, down: 0 };
  private readonly up = new Received();
  private readonly down = new Received();
  private mayWrite = true;
  private hasEnded = false;
  private hasReceivedEnd = false;
  private clientHasReceivedEnd = false;
  private closes = 0;
  private isOpen = false;
  private isFinishing = false;
  /** Whether TLS was started. The client may not take part, so the handshake may fail, and bytes are not checked. */
  private isSecure = false;
  private readonly room = Buffer.allocUnsafeSlow(1_000);

  constructor(socket: TransportSocket, client: net.Socket) {
    this.socket = socket;
    this.client = client;
    client.on('data', (chunk) => {
      if (!this.isSecure) this.down.add(chunk);
    });
    client.on('end', () => (this.clientHasReceivedEnd = true));
    client.on('error', () => (this.isAborted = true));
  }

  async run(): Promise<number> {
    const count = 3 + upTo(30);
    for (let step = 0; step < count; step++) {
      this.step();
      if (chance(0.1)) this.secure();
      if (this.isSecure && chance(0.5)) await this.handshake();
      if (chance(0.4)) await nextTurn();
      if (chance(0.002)) (globalThis as { gc?: () => void }).gc?.();
    }
    await this.finish();
    return count;
  }

  private step(): void {
    const kinds = ['open', 'write', 'write', 'writeAll', 'send', 'send', 'pause', 'resume', 'hold', 'release', 'end'];
    kinds.push('control');
    const aborts = ['finish', 'reset', 'drop', 'destroy', 'resetClient', 'late'];
    this.perform(pick(this.isGentle || chance(0.8) ? kinds : aborts));
  }

  private perform(operation: string): void {
    const { client, socket } = this;
    const length = chance(0.1) ? 300_000 : 1 + upTo(200);
    switch (operation) {
      case 'open':
        this.open();
        break;
      case 'write':
      case 'writeAll':
        if (!this.isOpen || !this.mayWrite || this.hasEnded || this.isSecure || this.closes > 0) break;
        this.write(operation, length);
        break;
      case 'send':
        if (client.writableEnded || client.destroyed) break;
        client.write(bytes(this.sent.up, length));
        this.sent.up += length;
        break;
      case 'pause':
        socket.pause();
        break;
      case 'resume':
        socket.resume();
        break;
      case 'hold':
        client.pause();
        break;
      case 'release':
        client.resume();
        break;
      case 'control':
        this.control();
        break;
      case 'end':
        if (chance(0.5)) client.end();
        else this.end();
        break;
      case 'reset':
      case 'drop':
        this.isAborted = true;
        this.mayWrite = false;
        if (operation === 'reset') socket.reset();
        else socket.drop?.();
        break;
      case 'destroy':
        this.isAborted = true;
        client.destroy();
        break;
      case 'resetClient':
        this.isAborted = true;
        // While its FIN is being sent, `resetAndDestroy` of Node leaves the handle open.
        if (place.startsWith('tcp') && !client.writableEnded) client.resetAndDestroy();
        else client.destroy();
        break;
      case 'late':
        // A call that the contract forbids must do no harm.
        if (this.closes > 0) this.perform(pick(['pause', 'resume', 'reset', 'drop']));
        if (this.closes > 0) check(!socket.write('late', 'latin1') && socket.unsent === Infinity, 'a late write');
        break;
    }
  }

  private control(): void {
    const { controls } = this.socket;
    if (chance(0.5)) controls?.setNoDelay(chance(0.5));
    if (chance(0.5)) controls?.setKeepAlive(chance(0.5), 1_000 * upTo(100));
    // The program ends only when all rounds are done, so it does not matter whether the handle keeps it alive.
    if (chance(0.5)) controls?.unref();
    else controls?.ref();
  }

  /** Starts TLS, as the library does: outside of a delivery, and after everything was written. */
  private secure(): void {
    const { client, socket } = this;
    if (this.isGentle || !this.isOpen || !this.mayWrite || this.hasEnded || this.hasReceivedEnd || this.isSecure)
      return;
    if (this.closes > 0 || this.isAborted || client.writableEnded || client.destroyed) return;
    // Often, everything was read, so that the handshake can succeed.
    const isClean = this.up.length === this.sent.up && this.down.length === this.sent.down;
    if (!isClean && chance(0.8)) return;
    this.isSecure = true;
    this.isAborted = true;
    if (chance(0.8)) socket.resume();
    socket.startTls?.({ ...identity })(() => {
      handshakes++;
      check(this.closes === 0 && socket.tls !== undefined, 'a handshake after the close');
    });
    if (chance(0.8)) tls.connect({ socket: client, rejectUnauthorized: false }).on('error', () => undefined);
  }

  /** Waits until the handshake has ended; not for long, because it may never end. */
  private async handshake(): Promise<void> {
    for (let turn = 0; turn < 100 && this.closes === 0 && this.socket.tls === undefined; turn++) await nextTurn();
  }

  private write(operation: string, length: number): void {
    const block = bytes(this.sent.down, length);
    const half = length >> 1;
    this.mayWrite =
      operation === 'write' || half === 0
        ? this.socket.write(...this.inSomeForm(block))
        : this.socket.writeAll([block.subarray(0, half), block.subarray(half)]);
    this.sent.down += length;
  }

  private inSomeForm(block: Buffer): [Uint8Array | string, 'utf8' | 'latin1'] {
    return chance(0.5) ? [block, 'latin1'] : [block.toString('latin1'), 'latin1'];
  }

  private end(): void {
    if (!this.isOpen || this.hasEnded || this.closes > 0) return;
    this.hasEnded = true;
    this.socket.end();
  }

  private open(): void {
    if (this.isOpen) return;
    this.isOpen = true;
    const events: BorrowingSocketEvents = {
      ...(chance(0.7) ? { keeps: chance(0.5) } : {}),
      ...(chance(0.3) ? { room: this.room } : {}),
      onData: (chunk) => {
        check(this.closes === 0 && !this.hasReceivedEnd, 'data after the end');
        if (!this.isSecure) this.up.add(chunk);
        this.react();
      },
      onEnd: () => {
        check(this.closes === 0 && !this.hasReceivedEnd, 'a second end');
        this.hasReceivedEnd = true;
        this.react();
      },
      onDrain: () => {
        check(this.closes === 0 && !this.mayWrite, 'a drain that nothing waits for');
        this.mayWrite = true;
        this.react();
      },
      onClose: (error) => {
        this.closes++;
        if (error !== undefined) check(this.isAborted, `a failure: ${error.message}`);
        this.isAborted ||= error !== undefined;
        if (chance(0.05)) throw new Planned();
      },
    };
    this.socket.open(events);
  }

  /** Acts within a callback. */
  private react(): void {
    if (!this.isFinishing && chance(0.1)) this.step();
    if (chance(0.02)) throw new Planned();
  }

  private async finish(): Promise<void> {
    const { client, socket } = this;
    this.isFinishing = true;
    this.open();
    socket.resume();
    client.resume();
    if (this.isGentle) {
      while (!this.mayWrite && this.closes === 0) await nextTurn();
      this.end();
      client.end();
    } else {
      this.isAborted = true;
      if (this.closes === 0) socket.reset();
      client.destroy();
    }
    const deadline = Date.now() + 20_000;
    while (this.closes === 0 || !client.closed) {
      check(Date.now() < deadline, `not closed: ${this.closes}, ${client.closed}`);
      await nextTurn();
    }
    await nextTurn();
    check(this.closes === 1, `${this.closes} closes`);
    if (this.isAborted) {
      check(this.up.length <= this.sent.up && this.down.length <= this.sent.down, 'too many bytes');
      return;
    }
    check(this.hasReceivedEnd && this.clientHasReceivedEnd, 'an end is missing');
    check(this.up.length === this.sent.up, `${this.up.length} of ${this.sent.up} bytes arrived`);
    check(this.down.length === this.sent.down, `${this.down.length} of ${this.sent.down} bytes were sent`);
  }
}

let rounds = 0;
let handshakes = 0;
const accepted: TransportSocket[] = [];
let onAccepted: () => void = () => undefined;
const bound = await new Promise<Address>((resolve, reject) => {
  const listener = nodeTransport().listen(parseAddress(place), listenerOptions, {
    onListening: resolve,
    onConnection: (socket) => {
      accepted.push(socket);
      onAccepted();
    },
    onError: reject,
    onIncident: reject,
  });
  process.once('beforeExit', () => void listener.close());
});
check((await streamHandles()) !== undefined, 'the self-test has failed');
const target =
  bound.transport === 'tcp' ? { host: bound.host, port: bound.port } : { path: (bound as { path: string }).path };

/** Handles that are open, without those of the standard streams. */
const openHandles = (): number =>
  process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap' || name === 'PipeWrap').length;

// The sockets of the self-test may still be closing.
for (let turn = 0; turn < 10; turn++) await nextTurn();
const before = openHandles();
let done = 0;
while (done < Number(steps)) {
  rounds++;
  const client = net.connect({ ...target, allowHalfOpen: true });
  await Promise.all([once(client, 'connect'), new Promise<void>((resolve) => (onAccepted = resolve))]);
  const socket = accepted.pop()!;
  check(socket instanceof HandleSocket, 'not a HandleSocket');
  done += await new Round(socket, client).run();
}
// libuv closes handles at the end of a turn.
for (let turn = 0; turn < 10 && openHandles() > before; turn++) await nextTurn();
const left = openHandles() - before;
(globalThis as { gc?: () => void }).gc?.();
console.log(JSON.stringify({ steps: done, rounds, handshakes, left, heap: process.memoryUsage().heapUsed }));
process.exit(0);
