import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Address } from 'rxjs-sockets';
import { onTestFinished } from 'vitest';

const program = fileURLToPath(new URL('./puppet.mjs', import.meta.url));

/** An event of a puppet's socket. */
export interface PuppetEvent {
  readonly event: 'end' | 'error' | 'close';
  readonly id: number;
  readonly code?: string;
  /** How many bytes the socket had received before the event. */
  readonly received: number;
}

/** A separate process with plain sockets. Each socket reads only on request. */
export class Puppet {
  private readonly child: ChildProcess;
  private readonly events: PuppetEvent[] = [];
  private answers: ((answer: unknown) => void)[] = [];
  private look: () => void = () => undefined;

  private constructor(child: ChildProcess) {
    this.child = child;
    child.on('message', (message: PuppetEvent | { answer: unknown }) => {
      if ('answer' in message) this.answers.shift()?.(message.answer);
      else this.events.push(message);
      this.look();
    });
  }

  static async start(): Promise<Puppet> {
    const puppet = new Puppet(fork(program, { execArgv: [] }));
    onTestFinished(() => puppet.kill());
    await new Promise((resolve) => puppet.answers.push(resolve));
    return puppet;
  }

  /** Connects a socket to `address`, and returns the id of the socket, or 0 if the socket could not connect. */
  connect(address: Address): Promise<number> {
    const where =
      address.transport === 'tcp'
        ? { port: address.port, host: address.host }
        : { path: address.transport === 'unix' ? address.path : '' };
    return this.ask({ do: 'connect', where }) as Promise<number>;
  }

  async read(id: number): Promise<void> {
    await this.ask({ do: 'read', id });
  }

  /** Resolves once the kernel has taken the bytes. */
  async write(id: number, size: number): Promise<void> {
    await this.ask({ do: 'write', id, size });
  }

  async end(id: number): Promise<void> {
    await this.ask({ do: 'end', id });
  }

  async reset(id: number): Promise<void> {
    await this.ask({ do: 'reset', id });
  }

  async destroy(id: number): Promise<void> {
    await this.ask({ do: 'destroy', id });
  }

  received(id: number): Promise<number> {
    return this.ask({ do: 'received', id }) as Promise<number>;
  }

  async event(kind: PuppetEvent['event'], id: number): Promise<PuppetEvent> {
    for (;;) {
      const found = this.events.find((event) => event.event === kind && event.id === id);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        this.look = resolve;
      });
    }
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.child.kill(signal);
  }

  async kill(): Promise<void> {
    const { child } = this;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'close');
    child.kill('SIGKILL');
    await exited;
  }

  private ask(order: object): Promise<unknown> {
    return new Promise((resolve) => {
      this.answers.push(resolve);
      this.child.send(order);
    });
  }
}

export function numbered(size: number): Buffer {
  return Buffer.from(Array.from({ length: size }, (_, index) => index % 251));
}
