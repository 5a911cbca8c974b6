import { type Message, shownMessage } from './message.js';
import type { WitnessedSocket } from './witness.js';
import type { World } from './world.js';

/** Compares what a reader is given with what has arrived at the sockets that it reads, one after the other (C1, F1, K4). */
export class Arrivals {
  /** Whose rest may have been discarded, since this side has closed it (C11). */
  readonly closed: Set<WitnessedSocket> = new Set();
  /** Whether the beginning may have gone unread. */
  mayLack = false;

  private readonly world: World;
  private readonly name: string;
  private readonly sockets: WitnessedSocket[] = [];
  private seen = 0;

  constructor(world: World, name: string) {
    this.world = world;
    this.name = name;
  }

  add(socket: WitnessedSocket): void {
    this.sockets.push(socket);
  }

  see(message: Message): void {
    this.advance((due) => due !== undefined);
    if (this.mayLack || this.isClosed) this.advance((due) => isSame(due, message));
    const due = this.sockets[0]?.arrived[this.seen++];
    if (isSame(due, message)) return;
    const wanted = due === undefined ? 'nothing had arrived' : `${shownMessage(due)} had arrived before`;
    this.world.findings.wrong('C1', `${this.name} was given ${shownMessage(message)}, though ${wanted}`);
  }

  /** A reader that takes all as it comes must have been given everything. */
  checkAllSeen(): void {
    if (this.mayLack || this.isClosed) return;
    const left = this.sockets.reduce((sum, { arrived }) => sum + arrived.length, -this.seen);
    if (left > 0) this.world.findings.wrong('F1', `${this.name} was not given ${left} messages that have arrived`);
  }

  private get isClosed(): boolean {
    return this.sockets.some((socket) => this.closed.has(socket));
  }

  /** Goes on to the next socket, as long as what is due is not what is wanted. */
  private advance(isWanted: (due: Message | undefined) => boolean): void {
    while (this.sockets.length > 1 && !isWanted(this.sockets[0]!.arrived[this.seen])) {
      this.sockets.shift();
      this.seen = 0;
    }
  }
}

function isSame(a: Message | undefined, b: Message): boolean {
  return a !== undefined && a.kind === b.kind && a.source === b.source && a.number === b.number && a.size === b.size;
}
