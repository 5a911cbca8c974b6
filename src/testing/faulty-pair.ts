import type { Subscription } from 'rxjs';
import type { Client } from '../client/connect.js';
import type { Connection } from '../connection/connection.js';
import { type CutCounter, FaultDice, type FaultDirection, type FaultKind, type Faults } from './faults.js';
import { type NextTurn, FaultyLink } from './faulty-link.js';

/** What a pair needs to know of its proxy, and tells it. */
export interface FaultyPairOwner {
  readonly seed: number;
  readonly faults: Readonly<Record<FaultDirection, Faults>>;
  readonly cuts: Readonly<Record<FaultDirection, CutCounter>>;
  readonly nextTurn: NextTurn;
  struck(strike: {
    readonly fault: FaultKind;
    readonly connection: number;
    readonly direction: FaultDirection;
    readonly at: number;
  }): void;
  /** Neither of its connections is left. */
  ended(pair: FaultyPair): void;
}

/** One connection to the proxy, the one that it has to the target, and the two directions between them. */
export class FaultyPair {
  private readonly owner: FaultyPairOwner;
  private readonly number: number;
  private readonly near: Connection;
  private readonly client: Client;
  private far: Connection | undefined;
  private dialling: Subscription | undefined;
  private passages: readonly FaultyLink[] = [];
  private left = 1;

  /** @param client - what dials the target */
  constructor(owner: FaultyPairOwner, number: number, near: Connection, client: Client) {
    this.owner = owner;
    this.number = number;
    this.near = near;
    this.client = client;
  }

  start(): void {
    whenGone(this.near, () => {
      // Who dialled has gone before there was anywhere to go.
      if (this.far === undefined) this.dialling?.unsubscribe();
      this.oneEnded();
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

  /** Destroys both connections; resolves when they are gone. */
  async shutdown(): Promise<void> {
    const both = this.far === undefined ? [this.near] : [this.near, this.far];
    const gone = both.map((connection) => new Promise<void>((resolve) => whenGone(connection, resolve)));
    this.stop();
    for (const connection of both) connection.destroy();
    await Promise.all(gone);
  }

  private join(far: Connection): void {
    this.far = far;
    this.left++;
    whenGone(far, () => {
      this.oneEnded();
    });
    this.passages = [this.passage('up', this.near, far), this.passage('down', far, this.near)];
    for (const passage of this.passages) passage.start();
  }

  private passage(direction: FaultDirection, from: Connection, to: Connection): FaultyLink {
    const { owner, number } = this;
    const dice = new FaultDice(owner.seed, number, direction === 'up' ? 0 : 1);
    return new FaultyLink(from.bytes, to.bytes, owner.faults[direction], dice, owner.cuts[direction], owner.nextTurn, {
      struck: (fault, at) => {
        owner.struck({ fault, connection: number, direction, at });
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
    });
  }

  private stop(): void {
    for (const passage of this.passages) passage.stop();
  }

  private oneEnded(): void {
    if (--this.left > 0) return;
    this.stop();
    this.owner.ended(this);
  }
}

function whenGone(connection: Connection, work: () => void): void {
  connection.closed.subscribe({ complete: work, error: work });
}
