import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** How long any answer may take, in ms. */
const patience = 300_000;

/** The resources of a host after a garbage collection. Sizes are in bytes. */
export interface Measures {
  readonly connections: number;
  readonly rss: number;
  readonly heapUsed: number;
  readonly descriptors: number;
}

/** Which echo server: plain Node, `data.subscribe(data)`, or a handler that sends each chunk back. */
export type Kind = 'plain' | 'paced' | 'handled';
export type Where = 'tcp' | 'unix';

/** A process that answers one question after another over IPC. */
class Child {
  private readonly child: ChildProcess;

  constructor(program: URL, args: readonly string[]) {
    this.child = fork(fileURLToPath(program), args, { execArgv: ['--expose-gc'] });
  }

  async ask(order?: object): Promise<unknown> {
    const gone = (code: unknown): void => {
      this.child.emit('error', new Error(`a process has ended with ${String(code)}`));
    };
    this.child.once('exit', gone);
    if (order !== undefined) this.child.send(order);
    const signal = AbortSignal.timeout(patience);
    const [{ answer }] = (await once(this.child, 'message', { signal })) as [{ answer: unknown }];
    this.child.off('exit', gone);
    return answer;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exited;
  }
}

/** An echo server, and its plain clients in other processes. */
export class Arena {
  private readonly host: Child;
  private readonly callers: readonly Child[];

  private constructor(host: Child, callers: readonly Child[]) {
    this.host = host;
    this.callers = callers;
  }

  /** Runs `work` with an arena, then ends all of its processes. */
  static async use<T>(
    library: string,
    kind: Kind,
    where: Where,
    callers: number,
    work: (arena: Arena) => Promise<T>,
  ): Promise<T> {
    const folder = await mkdtemp(join(tmpdir(), 'rxjs-sockets-'));
    const host = new Child(new URL('./host.mjs', import.meta.url), [
      kind,
      where === 'tcp' ? '0' : join(folder, 'socket'),
      library,
    ]);
    const all = [host];
    try {
      const bound = String(await host.ask());
      for (let count = 0; count < callers; count++)
        all.push(new Child(new URL('./callers.mjs', import.meta.url), [bound]));
      await Promise.all(all.slice(1).map((child) => child.ask()));
      return await work(new Arena(host, all.slice(1)));
    } finally {
      await Promise.all(all.map((child) => child.stop()));
      await rm(folder, { recursive: true, force: true });
    }
  }

  measure(): Promise<Measures> {
    return this.host.ask({ do: 'measure' }) as Promise<Measures>;
  }

  /** Measures once the host has `connections` connections. If that takes too long, returns the last measurement. */
  async measureAt(connections: number): Promise<Measures> {
    let measures = await this.measure();
    for (let tries = 0; measures.connections !== connections && tries < 500; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      measures = await this.measure();
    }
    return measures;
  }

  hold(count: number): Promise<unknown> {
    return this.tell('hold', count);
  }

  churn(count: number): Promise<unknown> {
    return this.tell('churn', count);
  }

  leave(): Promise<unknown> {
    return this.tell('leave', 0);
  }

  /** Divides the work among the callers. */
  private tell(order: string, count: number): Promise<unknown> {
    const share = Math.ceil(count / this.callers.length);
    return Promise.all(
      this.callers.map((caller, index) =>
        caller.ask({ do: order, count: Math.max(0, Math.min(share, count - index * share)) }),
      ),
    );
  }
}
