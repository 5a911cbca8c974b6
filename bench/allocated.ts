import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import type { Workshop } from './library.js';

/**
 * The work of a server for each message. `receive` reads a line, `send` sends a line, `lines` echoes a line through
 * `map`, `broadcast` sends a line to ten members, and `bytes` echoes a chunk, with one chunk in flight. With `idle`,
 * the benchmark measures an idle connection instead of a message.
 */
export type Work = 'receive' | 'send' | 'lines' | 'broadcast' | 'bytes' | 'idle';

/**
 * The counts of allocations: all objects (`objects`), the objects that neither Node nor V8 made (`own`), all bytes
 * (`bytes`), and the objects that each function made (`places`).
 */
export interface Allocated {
  readonly objects: number;
  readonly own: number;
  readonly bytes: number;
  readonly places: Readonly<Record<string, number>>;
}

const line = Buffer.from(`${'x'.repeat(63)}\n`);

export class CountingServer {
  private readonly child: ChildProcess;
  private readonly work: Work;
  private readonly sockets: net.Socket[] = [];
  private address: net.NetConnectOpts = { port: 0 };
  private missing = 0;
  private arrived: (() => void) | undefined;

  /**
   * Starts a server with bench/inside/allocation-<library>.js. The server listens at `path`, or, without `path`, on any
   * TCP port.
   */
  static async start(
    { inside }: Workshop,
    library: 'rxjs-sockets' | 'plain',
    work: Work,
    path: string | undefined,
    flags: readonly string[] = [],
  ): Promise<CountingServer> {
    const args = path === undefined ? [library, work] : [library, work, path];
    const child = fork(inside('allocation'), args, {
      execArgv: ['--expose-gc', ...flags],
      env: { ...process.env, NODE_OPTIONS: '' },
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    const server = new CountingServer(child, work);
    const { port } = await server.answer<{ port: number }>();
    server.address = path === undefined ? { port, host: '127.0.0.1' } : { path };
    if (work !== 'idle') await server.open(work === 'broadcast' ? 10 : 1);
    return server;
  }

  private constructor(child: ChildProcess, work: Work) {
    this.child = child;
    this.work = work;
  }

  async open(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const socket = net.connect(this.address);
      this.sockets.push(socket);
      await once(socket, 'connect');
      socket.on('data', (chunk) => {
        this.missing -= chunk.length;
        if (this.missing === 0) this.arrived?.();
      });
      // An answer shows that the server has accepted the connection. Before the answer, the connection may still be in
      // a queue of the kernel.
      if (this.work === 'idle') await this.exchange('.', 1);
    }
  }

  async allocated(count: number): Promise<Allocated> {
    await this.ask('begin');
    await this.send(count);
    return this.ask('end');
  }

  async alive(): Promise<number> {
    const { bytes } = await this.ask<{ bytes: number }>('settle');
    return bytes;
  }

  async send(count: number): Promise<void> {
    const lines = Buffer.alloc(line.length * count, line);
    switch (this.work) {
      case 'receive':
        await this.exchange(Buffer.concat([lines, Buffer.from('end\n')]), 'ok\n'.length);
        break;
      case 'send':
        // One byte from the client asks the server for 1,000 lines.
        await this.exchange(Buffer.alloc(count / 1_000, '.'), lines.length);
        break;
      case 'lines':
        await this.exchange(lines, lines.length);
        break;
      case 'broadcast':
        await this.exchange(lines, lines.length * this.sockets.length);
        break;
      default:
        for (let i = 0; i < count; i++) await this.exchange(line, line.length);
    }
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.disconnect();
    await once(this.child, 'exit');
  }

  /** Sends `bytes` on one connection, and waits until all connections together have received `answer` bytes. */
  private exchange(bytes: Uint8Array | string, answer: number): Promise<void> {
    return new Promise((resolve) => {
      this.missing = answer;
      this.arrived = resolve;
      this.sockets.at(-1)?.write(bytes);
    });
  }

  private ask<T = Allocated>(question: string): Promise<T> {
    this.child.send(question);
    return this.answer();
  }

  private answer<T>(): Promise<T> {
    return new Promise((resolve, reject) => {
      const gone = (): void => reject(new Error(`the server for '${this.work}' has ended`));
      this.child.once('exit', gone);
      this.child.once('message', (message) => {
        this.child.off('exit', gone);
        resolve(message as T);
      });
    });
  }
}

/**
 * Returns the allocations per additional message, from two measurements. Allocations whose number does not depend on
 * the number of messages do not count.
 */
export function slope(less: Allocated, more: Allocated, messages: number): Allocated {
  const names = Object.keys(more.places);
  const each = (name: string): number => ((more.places[name] ?? 0) - (less.places[name] ?? 0)) / messages;
  return {
    objects: (more.objects - less.objects) / messages,
    own: (more.own - less.own) / messages,
    bytes: (more.bytes - less.bytes) / messages,
    places: Object.fromEntries(names.map((name) => [name, each(name)])),
  };
}
