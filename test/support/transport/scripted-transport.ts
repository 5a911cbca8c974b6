import { firstValueFrom } from 'rxjs';
import { connect, type Connection, type ConnectOptions, SocketError, type Transport } from 'rxjs-sockets';
import { onTestFinished } from 'vitest';
import type { Address } from '../../../src/address/address.js';
import { FlushScheduler } from '../../../src/scheduling/flush-scheduler.js';
import type { SocketEvents, TransportSocket } from '../../../src/transport/transport.js';

const here: Address = { transport: 'memory', name: 'here' };
const there: Address = { transport: 'memory', name: 'there' };

/** A socket without a kernel. The test decides how much of each write is taken, and when. */
export class ScriptedSocket implements TransportSocket {
  readonly local = here;
  readonly remote = there;
  readonly tls = undefined;
  readonly scheduler = new FlushScheduler(
    (work) => process.nextTick(work),
    (work) => setImmediate(work),
  );
  /** The written bytes, one item per write. */
  readonly writes: Buffer[] = [];
  /** Whether each write is taken at once. */
  eager = true;
  unsent = 0;
  ended = false;
  wasReset = false;
  private events: SocketEvents | undefined;
  private gone = false;

  open(events: SocketEvents): void {
    this.events = events;
  }

  pause(): void {
    // Nothing is received unless the test says so.
  }

  resume(): void {
    // Nothing is paused.
  }

  write(data: Uint8Array | string, encoding: 'utf8' | 'latin1'): boolean {
    return this.writeAll([typeof data === 'string' ? Buffer.from(data, encoding) : data]);
  }

  writeAll(pieces: readonly Uint8Array[]): boolean {
    if (this.unsent > 0) throw new Error('written while another write was pending');
    const bytes = Buffer.concat(pieces);
    this.writes.push(bytes);
    if (this.eager) return true;
    this.unsent = bytes.length;
    return false;
  }

  end(): void {
    this.ended = true;
  }

  reset(): void {
    this.wasReset = true;
    process.nextTick(() => this.close());
  }

  /** Takes `count` more bytes of the pending write, or all of them by default. */
  take(count = this.unsent): void {
    this.unsent -= count;
    if (this.unsent === 0) this.events?.onDrain();
  }

  receive(bytes: string): void {
    this.events?.onData(Buffer.from(bytes));
  }

  finish(): void {
    this.events?.onEnd();
  }

  /** Closes the socket: cleanly, or with `error`. */
  close(error?: SocketError): void {
    if (this.gone) return;
    this.gone = true;
    this.events?.onClose(error);
  }
}

/** A transport of scripted sockets, and a list of the dialled sockets. */
export function scriptedTransport(setUp: (socket: ScriptedSocket) => void = () => undefined): {
  readonly transport: Transport;
  readonly sockets: readonly ScriptedSocket[];
} {
  const sockets: ScriptedSocket[] = [];
  const transport: Transport = {
    checkListen: () => undefined,
    checkConnect: () => undefined,
    listen: () => {
      throw new SocketError('ERR_ADDRESS_INVALID', 'a scripted socket is dialled');
    },
    connect: (_address, _options, events) => {
      const socket = new ScriptedSocket();
      setUp(socket);
      sockets.push(socket);
      queueMicrotask(() => events.onConnect(socket));
      return { abort: () => undefined };
    },
  };
  return { transport, sockets };
}

/** A connection over a scripted socket. It is aborted at the end of the test. */
export async function scripted<In = Buffer, Out = Uint8Array | string>(
  options: ConnectOptions<In, Out> = {},
): Promise<{ near: Connection<In, Out>; socket: ScriptedSocket }> {
  const { transport, sockets } = scriptedTransport();
  const client = connect<In, Out>(there, { ...options, transport });
  const near = await new Promise<Connection<In, Out>>((resolve) => {
    const subscription = client.subscribe({
      next: (state) => {
        if (state.status === 'connected') resolve(state.connection);
      },
      // `closed` reports how the connection ends.
      error: () => undefined,
    });
    onTestFinished(async () => {
      const closed = firstValueFrom(near.closed);
      near.destroy();
      subscription.unsubscribe();
      sockets[0]!.close();
      await closed;
    });
  });
  return { near, socket: sockets[0]! };
}
