import { type Message, shownMessage } from './message.js';
import type { WitnessedSocket } from './witness.js';
import type { World } from './world.js';

/** A socket whose messages are read, or will be. */
interface Source {
  readonly socket: WitnessedSocket;
  /** The subscription that has dialled it, counted from 1. */
  readonly run: number;
  /** How many of its messages the reader was given. */
  seen: number;
}

/**
 * Compares what the readers of a client are given with what has arrived at its sockets, one after the other, those of
 * connections that have ended included (C1, F1, K4, K8).
 */
export class Arrivals {
  /** Whose rest may have been discarded, since this side has closed it (C11). */
  readonly closed: Set<WitnessedSocket> = new Set();

  private readonly world: World;
  private readonly name: string;
  private sources: Source[] = [];
  private run = 0;
  /** The end of this run, at least, was told. */
  private told = 0;

  constructor(world: World, name: string) {
    this.world = world;
    this.name = name;
  }

  /** The client is subscribed to anew. */
  begin(): void {
    this.run++;
  }

  /** @param seen - how many of its messages were taken by what has prepared it (K18) */
  add(socket: WitnessedSocket, seen = 0): void {
    this.sources.push({ socket, run: this.run, seen });
  }

  see(message: Message): void {
    this.skipTo(message);
    const [source] = this.sources;
    const due = source?.socket.arrived[source.seen];
    if (source !== undefined) source.seen++;
    if (isSame(due, message)) return;
    const wanted = due === undefined ? 'nothing had arrived' : `${shownMessage(due)} had arrived before`;
    this.world.findings.wrong('C1', `${this.name} was given ${shownMessage(message)}, though ${wanted}`);
  }

  /** A reader was given the end of a connection, which comes behind all that has arrived on it (C7, C8, K8). */
  end(): void {
    const unseen = this.sources.find((source) => this.hasUnseen(source));
    if (this.told < this.run) this.told++;
    if (unseen !== undefined && unseen.run <= this.told) {
      const left = unseen.socket.arrived.length - unseen.seen;
      this.world.findings.wrong('K8', `${this.name} was told the end before ${left} messages that had arrived`);
    }
  }

  /** A reader that takes all as it comes must have been given everything. */
  checkAllSeen(): void {
    const left = this.sources.filter((source) => this.hasUnseen(source));
    if (left.length > 0) this.world.findings.wrong('F1', `${this.name} was not given all that has arrived`);
  }

  private hasUnseen({ socket, seen }: Source): boolean {
    return !this.closed.has(socket) && seen < socket.arrived.length;
  }

  /** Goes on to the next socket where all was given, and from one whose rest may be lacking. */
  private skipTo(message: Message): void {
    while (this.sources.length > 1) {
      const { socket, seen } = this.sources[0]!;
      const due = socket.arrived[seen];
      if (due !== undefined && (isSame(due, message) || !this.closed.has(socket))) return;
      this.sources.shift();
    }
  }
}

function isSame(a: Message | undefined, b: Message): boolean {
  return a !== undefined && a.kind === b.kind && a.source === b.source && a.number === b.number && a.size === b.size;
}
