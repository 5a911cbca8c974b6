import { type Inbound, readAhead, type Reader } from '../io/inbound.js';
import type { SocketConnection } from '../connection/socket-connection.js';

/** What an ended connection that still has bytes for a reader is reckoned to take, in bytes. */
const connectionCost = 1_024;

/** A connection of which not all bytes were emitted yet. */
interface Source<In, Out> {
  readonly connection: SocketConnection<In, Out>;
  /** Whether the client ended with it: its end is theirs who read it, whatever has begun since then. */
  isLast: boolean;
}

/** What one client's readers read: one connection after the other, each to its end (K4). */
export class ReadHandover<In, Out> {
  readonly readers: Set<Reader> = new Set();
  /** Oldest first; the readers read the first one, or wait for their turn. */
  private sources: Source<In, Out>[] = [];

  /** What is read now. */
  get inbound(): Inbound | undefined {
    return this.sources[0]?.connection.inbound;
  }

  /** The connection that is read now. */
  get connection(): SocketConnection<In, Out> | undefined {
    return this.sources[0]?.connection;
  }

  /** Whether the client has ended with the connection that is read now. */
  get isLast(): boolean {
    return this.sources[0]?.isLast === true;
  }

  /** Whether the client has ended with a connection whose end nobody was given (K8). */
  get hasUnread(): boolean {
    return this.sources[0]?.connection.inbound.isRead === false;
  }

  /** What a connection that is gone has left behind comes first; but who was given its end waits for what follows. */
  observed(reader: Reader): void {
    const [source] = this.sources;
    if (source === undefined || (source.isLast && source.connection.inbound.isRead)) return;
    source.connection.observed(reader);
    source.connection.inbound.wakeSoon();
  }

  unobserved(reader: Reader): void {
    this.readers.delete(reader);
    this.sources[0]?.connection.unobserved(reader);
    this.readOn();
  }

  /** A connection is there, whose bytes follow those of the others. */
  append(connection: SocketConnection<In, Out>): void {
    this.sources.push({ connection, isLast: false });
    if (this.sources.length === 1) this.readFrom(connection);
  }

  /** Where too much of earlier connections waits, `connection` is not read, so that it does not come on top. */
  limit(connection: SocketConnection<In, Out>): void {
    const earlier = this.sources.filter((source) => source.connection !== connection);
    const left = earlier.reduce((sum, source) => sum + source.connection.inbound.queue.length + connectionCost, 0);
    if (left >= readAhead) connection.inbound.block();
  }

  /** The first source has nothing more: the readers go on to the next one. */
  advance(): void {
    const { inbound } = (this.sources.shift() as Source<In, Out>).connection;
    for (const reader of this.readers) inbound.detach(reader);
    if (this.sources[0] !== undefined) this.readFrom(this.sources[0].connection);
  }

  /** What is left of the first source will never be a whole frame: `reader` waits for the next source. */
  dropRest(reader: Reader): void {
    const { connection } = this;
    connection?.inbound.queue.clear();
    connection?.unobserved(reader);
  }

  /** Where the first source has nothing more, and is not the last, the readers go on. */
  advanceIfRead(): void {
    const [first] = this.sources;
    if (first?.isLast === false && first.connection.inbound.queue.length === 0) this.advance();
  }

  /** There is no connection: of those that have ended, only bytes are kept for a late reader (K8, K14). */
  dropEmpty(): void {
    this.sources = this.sources.filter(({ connection }) => {
      const { inbound } = connection;
      return !inbound.unread || (!inbound.isRead && inbound.queue.length > 0);
    });
  }

  /** What the client had ended with, and what was read to its end, is read no more: what came after it follows. */
  readOn(): void {
    const [source] = this.sources;
    const inbound = source?.connection.inbound;
    if (source?.isLast === true && inbound?.unread === true && inbound.isRead) this.advance();
  }

  /**
   * The client ends: gives the readers that no connection will tell so, which are none of its own any more.
   *
   * @param isTold - whether the readers have been told already: those who are there now wait for what follows
   */
  end(isTold: boolean): readonly Reader[] {
    const [first] = this.sources;
    const newest = this.sources.at(-1);
    // Behind what an earlier end of the client has left they wait for what is there now.
    const isWaitedFor = first?.isLast === true && newest?.isLast === false;
    if (newest !== undefined) newest.isLast = true;
    if (isWaitedFor || isTold) return [];
    const stranded = [...this.readers].filter((reader) => first?.connection.inbound.has(reader) !== true);
    for (const reader of stranded) this.readers.delete(reader);
    return stranded;
  }

  /** The client is left: what was received on `connection`, which closes, is given up, and nothing follows the others. */
  leave(connection: SocketConnection<In, Out> | undefined): void {
    this.sources = this.sources.filter((source) => source.connection !== connection);
    const newest = this.sources.at(-1);
    if (newest !== undefined) newest.isLast = true;
  }

  private readFrom(source: SocketConnection<In, Out>): void {
    for (const reader of this.readers) source.observed(reader);
    if (this.readers.size > 0) source.inbound.wakeSoon();
  }
}
