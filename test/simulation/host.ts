import { ignoreElements, type Observable, Subscription } from 'rxjs';
import {
  type Closed,
  type Connection,
  formatAddress,
  type Hold,
  listen,
  type ListenOptions,
  mergeMapPaced,
  serve,
  type Server,
} from 'rxjs-sockets';
import { Attendant } from './attendant.js';
import { codec, type Draft } from './message.js';
import { type Actor, target, type World } from './world.js';

type Out = Buffer | Draft;

/** The server's side. The host listens, leaves and comes back, and has an attendant for each connection. */
export class Host implements Actor {
  readonly isLossy: boolean;
  readonly maxBuffered: number;
  readonly highWaterMark: number;
  /** The incidents of all servers of this host. */
  readonly incidents: Set<unknown> = new Set();

  private readonly world: World;
  private readonly options: ListenOptions<Buffer, Out>;
  private readonly manner: 'plain' | 'paced' | 'iterating' | 'serve';
  private readonly concurrent: number;
  private readonly restarts: boolean;
  /** In a gentle world, whether the host closes before its clients close. */
  readonly endsFirst: boolean;
  private readonly attendants = new Map<string, Attendant>();
  /** The attendants of the open connections. */
  readonly present: Set<Attendant> = new Set();
  private readonly served: Closed[] = [];
  private server: Server<Buffer, Out> | undefined;
  private serving: Subscription = Subscription.EMPTY;
  private holds: Hold[] = [];
  private accepted = 0;
  private stopped = false;

  constructor(world: World) {
    this.world = world;
    const { dice, gentle } = world;
    const overflow = gentle ? 'error' : dice.pick(['error', 'error', 'drop']);
    this.isLossy = overflow === 'drop';
    this.maxBuffered = gentle ? 2 ** 26 : dice.pick([2 ** 20, 2 ** 20, dice.magnitude(500, 200_000)]);
    this.manner = gentle
      ? dice.pick(['plain', 'paced', 'serve'])
      : dice.pick(['plain', 'plain', 'paced', 'iterating', 'serve']);
    this.concurrent = gentle ? 10 : dice.pick([1, 2, 5]);
    this.endsFirst = dice.chance(0.4);
    this.restarts = !gentle && dice.chance(0.4);
    this.highWaterMark = dice.pick([65_536, dice.magnitude(1, 200_000)]);
    this.options = {
      codec,
      overflow,
      maxBuffered: this.maxBuffered,
      highWaterMark: this.highWaterMark,
      halfOpen: dice.chance(0.8),
      backlog: gentle ? 100 : dice.pick([100, 1]),
      acceptQueue: dice.pick([128, 1]),
      maxConnections: gentle ? 100 : dice.pick([10_000, 10_000, 1, 2]),
      closeTimeout: dice.pick([5_000, 200]),
      halfOpenTimeout: gentle ? 0 : dice.pick([60_000, 1_000]),
      claimTimeout: gentle ? 0 : dice.pick([30_000, 1_000]),
      idleTimeout: gentle ? 0 : dice.pick([0, 0, 0, 3_000]),
      transport: world.transport({
        wrote: (socket, message) => {
          this.attendants.get(formatAddress(socket.remote))?.wrote(message);
        },
      }),
    };
    if (gentle || dice.chance(0.7)) this.start();
    else world.disturb(dice.magnitude(1, 3_000), () => this.start());
    if (!gentle && dice.chance(0.3)) this.holdLater();
  }

  left(attendant: Attendant): void {
    this.present.delete(attendant);
  }

  /** Whether every client that dials is accepted. */
  get isOpen(): boolean {
    const { maxConnections, idleTimeout, claimTimeout, halfOpenTimeout } = this.options;
    return (
      this.manner === 'plain' &&
      maxConnections === 10_000 &&
      idleTimeout === 0 &&
      claimTimeout !== 1_000 &&
      halfOpenTimeout !== 1_000
    );
  }

  get isGone(): boolean {
    return this.stopped && this.server === undefined && this.present.size === 0;
  }

  get received(): number {
    return [...this.attendants.values()].reduce((sum, { received }) => sum + received, 0);
  }

  check(): void {
    for (const attendant of this.present) attendant.check();
    const { server } = this;
    if (server === undefined) return;
    const { connections } = server;
    if (connections.size > (this.options.maxConnections ?? 0)) this.wrong('S4', `has ${connections.size} connections`);
    if (this.manner !== 'plain') return;
    for (const connection of connections) {
      if (this.attendants.get(formatAddress(connection.remote))?.connection !== connection) {
        this.wrong('S2', `has a connection that it did not emit`);
      }
    }
  }

  calm(): void {
    for (const hold of this.holds.splice(0)) hold.release();
    if (this.server === undefined) this.start();
    for (const attendant of this.attendants.values()) attendant.calm();
  }

  stop(): void {
    if (this.world.gentle && !this.endsFirst) {
      this.world.after(10_000, () => this.end());
      return;
    }
    for (const attendant of this.present) attendant.checkAllSeen();
    if (!this.world.gentle) this.checkReached();
    this.end();
  }

  checkEnd(): void {
    for (const attendant of this.attendants.values()) {
      attendant.checkEnd();
    }
    const outcomes = new Set([...this.attendants.values()].map(({ outcome }) => outcome));
    if (this.served.some((closed) => !outcomes.delete(closed))) {
      this.wrong('S6', 'reported an end that no connection had, or that was reported before');
    }
    if (this.present.size > 0) this.wrong('C12', `has ${this.present.size} connections left`);
    if (this.world.gentle) this.checkAllReceived();
  }

  private start(): void {
    if (this.server !== undefined || this.stopped) return;
    this.world.findings.note(() => 'the host listens');
    const server = listen(target, this.options);
    this.server = server;
    this.holds = [];
    server.incidents.subscribe({
      next: (error) => {
        this.incidents.add(error);
        this.world.failed('an incident', error);
      },
      error: (error: unknown) => {
        this.wrong('S4', `incidents failed: ${String(error)}`);
      },
    });
    this.serve(server);
    if (this.restarts) this.world.disturb(this.world.dice.magnitude(50, 6_000), () => this.pauseListening());
  }

  private serve(server: Server<Buffer, Out>): void {
    const failed = (error: unknown): void => {
      this.wrong('S4', `ended with ${String(error)}`);
    };
    switch (this.manner) {
      case 'plain':
        this.serving = server.subscribe({
          next: (connection) => {
            if (this.holds.length > 0) this.wrong('S5', 'was given a connection while it held');
            this.take(connection).attend();
          },
          error: failed,
        });
        break;
      case 'paced':
        this.serving = server
          .pipe(mergeMapPaced((connection) => this.attended(connection), this.concurrent))
          .subscribe({
            error: failed,
          });
        break;
      case 'serve': {
        const handler = (connection: Connection<Buffer, Out>): ReturnType<Attendant['handle']> =>
          this.take(connection).handle();
        const options = this.world.gentle || this.world.dice.chance(0.5) ? {} : { concurrent: this.concurrent };
        this.serving = server.pipe(serve(handler, options)).subscribe({
          next: (closed) => {
            this.served.push(closed);
            this.world.count(`served ${closed.error?.code ?? 'well'}`);
          },
          error: failed,
        });
        break;
      }
      case 'iterating': {
        const iterator = server[Symbol.asyncIterator]();
        this.serving = new Subscription(() => void iterator.return?.());
        void this.iterate(iterator).catch(failed);
      }
    }
  }

  private async iterate(iterator: AsyncIterator<Connection<Buffer, Out>>): Promise<void> {
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
      const attendant = this.take(next.value);
      attendant.attend();
      await new Promise<void>((resolve) => {
        next.value.closed.subscribe({ complete: resolve, error: resolve });
      });
    }
  }

  private attended(connection: Connection<Buffer, Out>): Observable<never> {
    this.take(connection).attend();
    return connection.closed.pipe(ignoreElements());
  }

  private take(connection: Connection<Buffer, Out>): Attendant {
    const attendant = new Attendant(this.world, this, ++this.accepted, connection);
    this.attendants.set(formatAddress(connection.remote), attendant);
    this.present.add(attendant);
    this.world.count('accepted');
    return attendant;
  }

  private holdLater(): void {
    const { dice } = this.world;
    this.world.disturb(dice.magnitude(1, 3_000), () => {
      const hold = this.server?.hold();
      if (hold !== undefined) this.holds.push(hold);
      this.world.disturb(dice.magnitude(1, 3_000), () => {
        this.holds = this.holds.filter((other) => other !== hold);
        hold?.release();
        this.holdLater();
      });
    });
  }

  /** Stops listening for a while. The open connections are closed, or stay open. */
  private pauseListening(): void {
    const { dice } = this.world;
    const { server } = this;
    if (server === undefined) return;
    if (dice.chance(0.5)) this.shutDown(server);
    else this.leave(dice.pick(['stays', 'destroys', 'closes']));
    this.world.disturb(dice.magnitude(1, 5_000), () => this.start());
  }

  private end(): void {
    this.stopped = true;
    const { server } = this;
    if (server !== undefined) {
      if (this.world.gentle || this.world.dice.chance(0.5)) this.shutDown(server);
      else this.leave('destroys');
    }
    // It is possible that connections of earlier servers are still open.
    this.world.after(10_000, () => {
      for (const attendant of [...this.present]) attendant.stop();
    });
  }

  private leave(then: 'stays' | 'destroys' | 'closes'): void {
    this.world.findings.note(() => `the host leaves, ${then}`);
    this.serving.unsubscribe();
    const { server } = this;
    this.server = undefined;
    for (const connection of server?.connections ?? []) {
      // `serve` closes the connections that it was serving (S6).
      if (then !== 'stays' || this.manner === 'serve') this.attendants.get(formatAddress(connection.remote))?.closes();
      if (then === 'destroys') connection.destroy();
      else if (then === 'closes') void connection.close();
    }
  }

  private shutDown(server: Server<Buffer, Out>): void {
    this.world.findings.note(() => 'the host shuts down');
    const { dice } = this.world;
    const deadline = dice.pick([undefined, 10, 3_000]);
    const most = deadline ?? this.options.closeTimeout ?? 0;
    const since = Date.now();
    for (const attendant of this.present) attendant.closes();
    let completed = false;
    server.listening.subscribe({ complete: () => (completed = true), error: () => undefined });
    const shut = server.shutdown({
      ...(deadline === undefined ? {} : { deadline }),
      ...(dice.chance(0.3) ? { drain: false } : {}),
    });
    if (server.shutdown() !== shut) this.wrong('S7', 'gave another promise');
    this.world.expectSettled('a shutdown', shut);
    this.server = undefined;
    void shut.then(() => {
      if (Date.now() - since > most + 1) this.wrong('S7', `took ${Date.now() - since} ms, of ${most}`);
      if (server.connections.size > 0) this.wrong('S7', `left ${server.connections.size} connections`);
      if (!completed) this.wrong('S7', 'did not complete listening');
      if (this.manner === 'plain' && !this.serving.closed && this.server === undefined)
        this.wrong('S7', 'did not complete');
    });
  }

  /** Asserts that the clients that reconnect without a limit are connected again. */
  private checkReached(): void {
    const { world } = this;
    if (!this.isOpen || world.proxy !== undefined) return;
    for (const client of world.clients) {
      if (client.isEager && client.status === 'waiting') this.wrong('K5', `was not reached by client ${client.id}`);
    }
  }

  private checkAllReceived(): void {
    const sent = this.world.clients.reduce((sum, { written }) => sum + written, 0);
    if (this.received !== sent && !this.endsFirst) this.wrong('C11', `was given ${this.received} of ${sent} messages`);
    const attendants = [...this.attendants.values()];
    const written = attendants.reduce((sum, { written }) => sum + written, 0);
    const received = this.world.clients.reduce((sum, { received }) => sum + received, 0);
    if (received !== written) this.wrong('C11', `sent ${written} messages, of which ${received} were received`);
  }

  private wrong(rule: string, what: string): void {
    this.world.findings.wrong(rule, `the host ${what}`);
  }
}
