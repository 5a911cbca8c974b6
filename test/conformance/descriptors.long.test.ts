import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import { type Address, formatAddress, parseAddress } from 'rxjs-sockets';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Order, State } from '../support/transport/node/limited-server.js';
import '../support/leaks.js';
import { type Place, realPlaces } from '../support/transport/places.js';

const program = fileURLToPath(new URL('../support/transport/node/limited-server.ts', import.meta.url));
const root = fileURLToPath(new URL('../..', import.meta.url));
const limit = 64;

/** An echo server in a process that may have at most 64 file descriptors. */
class Host {
  private readonly child: ChildProcess;
  private readonly answers: ((state: State) => void)[] = [];
  private incidents = 0;
  private notify: () => void = () => undefined;

  private constructor(child: ChildProcess) {
    this.child = child;
    child.on('message', (message: { answer?: State }) => {
      if (message.answer !== undefined) this.answers.shift()?.(message.answer);
      else this.incidents++;
      this.notify();
    });
  }

  static async start(place: Place, internals: boolean): Promise<{ host: Host; address: Address }> {
    const where = formatAddress(parseAddress(await place.address()));
    const args = [program, String(limit), where, ...(internals ? [] : ['public-api'])];
    const child = spawn(process.execPath, args, {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, NODE_OPTIONS: '--import tsx --conditions=rxjs-sockets-source' },
    });
    onTestFinished(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    });
    const host = new Host(child);
    const { address } = await new Promise<State>((resolve) => host.answers.push(resolve));
    return { host, address: parseAddress(address) };
  }

  async incident(count: number): Promise<void> {
    while (this.incidents < count) {
      await new Promise<void>((resolve) => {
        this.notify = resolve;
      });
    }
  }

  tell(order: Order): Promise<State> {
    return new Promise((resolve, reject) => {
      this.answers.push(resolve);
      this.child.send(order, (error) => {
        if (error !== null) reject(error);
      });
    });
  }

  get alive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }
}

class Caller {
  readonly echoed: Promise<string>;
  readonly closed: Promise<void>;
  isEchoed = false;
  isClosed = false;
  private readonly socket: net.Socket;

  constructor(address: Address) {
    const where =
      address.transport === 'tcp'
        ? { port: address.port, host: address.host }
        : { path: (address as { path: string }).path };
    const socket = net.connect(where);
    this.socket = socket;
    onTestFinished(() => void socket.destroy());
    socket.on('error', () => undefined);
    socket.write('hello');
    this.echoed = new Promise((resolve) => {
      socket.once('data', (chunk: Buffer) => {
        this.isEchoed = true;
        resolve(chunk.toString());
      });
    });
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.isClosed = true;
        resolve();
      });
    });
  }

  leave(): void {
    this.socket.destroy();
  }
}

const call = (address: Address, count: number): Caller[] => Array.from({ length: count }, () => new Caller(address));

describe.each(realPlaces.map((place) => [place.name, place] as const))('too few descriptors on %s', (_name, place) => {
  it('S15: a server reports a shortage of descriptors, and serves the waiting clients when descriptors are free again', async () => {
    const { host, address } = await Host.start(place, true);
    const callers = call(address, 100);
    await host.incident(1);
    let state = await host.tell('rest');
    // While the server waits for free descriptors, it hardly uses the processor.
    expect(state.busy).toBeLessThan(0.5);
    expect(state.incidents.filter((code) => code !== 'EMFILE')).toEqual([]);
    expect(state.served).toBeGreaterThan(0);
    expect(state.served).toBeLessThan(limit);
    const before = state.incidents.length;
    const began = Date.now();
    // In each turn, two served clients leave, and one waiting client has to be served. One leaving client might not be
    // enough, because the server may first have to restore its reserve of free descriptors (S15).
    const served = callers.filter(({ isEchoed }) => isEchoed);
    for (let turn = 0; turn < 20; turn++) {
      const others = callers.filter(({ isEchoed }) => !isEchoed);
      served.shift()?.leave();
      served.shift()?.leave();
      served.push(await Promise.race(others.map((caller) => caller.echoed.then(() => caller))));
    }
    for (const caller of callers) void caller.echoed.then(() => caller.leave());
    expect(await Promise.all(callers.map(({ echoed }) => echoed))).toEqual(Array(100).fill('hello'));
    state = await host.tell('state');
    // The server reports a shortage of descriptors at most once a second.
    expect(state.incidents.length - before).toBeLessThanOrEqual(1 + (Date.now() - began) / 1_000);
    expect(state.incidents.filter((code) => code !== 'EMFILE')).toEqual([]);
  });

  it('S4: if the rest of the process uses all descriptors, the server survives, and serves again when descriptors are free', async () => {
    const { host, address } = await Host.start(place, true);
    const [early] = call(address, 1);
    expect(await early?.echoed).toBe('hello');
    await host.tell('eat');
    await host.incident(1);
    const waiting = call(address, 20);
    const state = await host.tell('rest');
    expect(state.incidents).toEqual(['EMFILE']);
    expect(state.busy).toBeLessThan(0.5);
    expect(state.served).toBe(1);
    expect(waiting.filter(({ isEchoed, isClosed }) => isEchoed || isClosed)).toEqual([]);
    await host.tell('free');
    expect(await Promise.all(waiting.map(({ echoed }) => echoed))).toEqual(Array(20).fill('hello'));
  });

  it('S15: a server notices a shortage of descriptors even if a few descriptors with low numbers are free', async () => {
    const { host, address } = await Host.start(place, true);
    const early = call(address, 3);
    expect(await Promise.all(early.map(({ echoed }) => echoed))).toEqual(['hello', 'hello', 'hello']);
    const eaten = host.tell('eat');
    // When these clients leave, descriptors with low numbers become free.
    for (const caller of early) caller.leave();
    await eaten;
    await host.incident(1);
    const waiting = call(address, 20);
    await host.tell('rest');
    expect(waiting.filter(({ isEchoed, isClosed }) => isEchoed || isClosed)).toEqual([]);
    await host.tell('free');
    expect(await Promise.all(waiting.map(({ echoed }) => echoed))).toEqual(Array(20).fill('hello'));
  });

  it('S15: a server can lose clients that connect before it notices a shortage of descriptors, but then continues to serve', async () => {
    const { host, address } = await Host.start(place, true);
    const eaten = host.tell('eat');
    const callers = call(address, 20);
    await eaten;
    await host.incident(1);
    await host.tell('free');
    await Promise.all(callers.map(({ echoed, closed }) => Promise.race([echoed, closed])));
    const [later] = call(address, 1);
    expect(await later?.echoed).toBe('hello');
    expect(host.alive).toBe(true);
  });

  it('S4: a server whose listener cannot be paused survives a shortage of descriptors, and then serves again', async () => {
    const { host, address } = await Host.start(place, false);
    const callers = call(address, 100);
    await host.incident(1);
    await Promise.all(callers.map(({ echoed, closed }) => Promise.race([echoed, closed])));
    const state = await host.tell('rest');
    expect(state.busy).toBeLessThan(0.5);
    expect(state.incidents.every((code) => code === 'EMFILE')).toBe(true);
    expect(callers.filter(({ isEchoed }) => isEchoed).length).toBeGreaterThan(0);
    for (const caller of callers) caller.leave();
    for (let attempt = 0; ; attempt++) {
      // The server may not yet have noticed that the clients have left.
      const [later] = call(address, 1);
      if ((await Promise.race([later?.echoed, later?.closed])) === 'hello') break;
      expect(attempt).toBeLessThan(1_000);
    }
  });
});
