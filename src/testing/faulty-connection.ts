import type { Subscription } from 'rxjs';
import type { Client } from '../client/client.js';
import type { Connection } from '../connection/connection.js';
import { type CutCounter, FaultDice } from './fault-dice.js';
import type { FaultDirection, Faults, InjectedFault } from './faults.js';
import { FaultyPipe, type NextTurn } from './faulty-pipe.js';

export interface FaultyConnectionOwner {
  readonly seed: number;
  readonly faults: Readonly<Record<FaultDirection, Faults>>;
  readonly cuts: Readonly<Record<FaultDirection, CutCounter>>;
  readonly nextTurn: NextTurn;
  injected(fault: InjectedFault): void;
  /** Called when both ends of the connection have closed. */
  ended(connection: FaultyConnection): void;
}

/** One connection through the proxy. The proxy has accepted the near end, and dials the far end. */
export class FaultyConnection {
  private readonly owner: FaultyConnectionOwner;
  private readonly number: number;
  private readonly near: Connection;
  private readonly client: Client;
  private far: Connection | undefined;
  private dialling: Subscription | undefined;
  private pipes: readonly FaultyPipe[] = [];
  private openEnds = 1;

  constructor(owner: FaultyConnectionOwner, number: number, near: Connection, client: Client) {
    this.owner = owner;
    this.number = number;
    this.near = near;
    this.client = client;
  }

  start(): void {
    whenClosed(this.near, () => {
      // If the near end closes before the far end is connected, stop dialling.
      if (this.far === undefined) this.dialling?.unsubscribe();
      this.endClosed();
    });
    this.dialling = this.client.subscribe({
      next: (state) => {
        if (state.status === 'connected') this.join(state.connection);
      },
      error: (error: unknown) => {
        if (this.far === undefined) this.near.destroy(error);
      },
    });
  }

  /** Destroys both ends of the connection. The promise resolves when both ends have closed. */
  async shutdown(): Promise<void> {
    const ends = this.far === undefined ? [this.near] : [this.near, this.far];
    const closed = ends.map((end) => new Promise<void>((resolve) => whenClosed(end, resolve)));
    this.stop();
    for (const end of ends) end.destroy();
    await Promise.all(closed);
  }

  private join(far: Connection): void {
    this.far = far;
    this.openEnds++;
    whenClosed(far, () => {
      this.endClosed();
    });
    this.pipes = [this.newPipe('up', this.near, far), this.newPipe('down', far, this.near)];
    for (const pipe of this.pipes) pipe.start();
  }

  private newPipe(direction: FaultDirection, from: Connection, to: Connection): FaultyPipe {
    const { owner, number } = this;
    const dice = new FaultDice(owner.seed, number, direction === 'up' ? 0 : 1);
    return new FaultyPipe({
      from: from.bytes,
      to: to.bytes,
      faults: owner.faults[direction],
      dice,
      cuts: owner.cuts[direction],
      nextTurn: owner.nextTurn,
      events: {
        injected: (fault, at) => {
          owner.injected({ fault, connection: number, direction, at });
        },
        reset: () => {
          this.stop();
          from.destroy();
          to.destroy();
        },
        cut: () => {
          this.stop();
          void from.close();
          void to.close();
        },
      },
    });
  }

  private stop(): void {
    for (const pipe of this.pipes) pipe.stop();
  }

  private endClosed(): void {
    if (--this.openEnds > 0) return;
    this.stop();
    this.owner.ended(this);
  }
}

function whenClosed(connection: Connection, work: () => void): void {
  connection.closed.subscribe({ complete: work, error: work });
}
