import { type Message, shownMessage } from './message.js';
import type { WitnessedSocket } from './witness.js';
import type { World } from './world.js';

/** A socket whose messages the reader receives. */
interface Source {
  readonly socket: WitnessedSocket;
  /** The number of the subscription to the client that dialled the socket, counted from 1. */
  readonly run: number;
  /** How many messages of the socket the reader has received. */
  seen: number;
}

/**
 * Compares what a client's readers receive with the messages that have arrived at the client's sockets, one socket
 * after the other. The sockets of ended connections also count (C1, F1, K4, K8).
 */
export class Arrivals {
  /**
   * The sockets whose unread messages may be discarded, because this side has closed the socket (C11), or because
   * nobody has read from the socket (C22).
   */
  readonly closed: Set<WitnessedSocket> = new Set();

  private readonly world: World;
  private readonly name: string;
  private sources: Source[] = [];
  private run = 0;
  /** The number of the last subscription to the client whose end has been reported to a reader. */
  private told = 0;

  constructor(world: World, name: string) {
    this.world = world;
    this.name = name;
  }

  /** Call when a new subscription to the client begins. */
  begin(): void {
    this.run++;
  }

  /** @param seen - how many of the socket's messages `prepare` has consumed (K18) */
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
    this.world.findings.wrong('C1', `${this.name} got ${shownMessage(message)}, although ${wanted}`);
  }

  /** Call when a reader is notified of the end of a connection, which follows all its messages (C7, C8, K8). */
  end(): void {
    const unseen = this.sources.find((source) => this.hasUnseen(source));
    if (this.told < this.run) this.told++;
    if (unseen !== undefined && unseen.run <= this.told) {
      const left = unseen.socket.arrived.length - unseen.seen;
      this.world.findings.wrong('K8', `${this.name} got the end before ${left} messages that had arrived`);
    }
  }

  /** Asserts that a reader that is never slow has received all messages that have arrived. */
  checkAllSeen(): void {
    const left = this.sources.filter((source) => this.hasUnseen(source));
    if (left.length > 0) this.world.findings.wrong('F1', `${this.name} did not get everything that arrived`);
  }

  private hasUnseen({ socket, seen }: Source): boolean {
    return !this.closed.has(socket) && seen < socket.arrived.length;
  }

  /** Skips each socket whose messages have all been emitted, or whose remaining messages may be discarded. */
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
