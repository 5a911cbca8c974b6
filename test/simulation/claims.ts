import type { Reading } from './reading.js';
import type { WitnessedSocket } from './witness.js';

/**
 * The sockets that a client may close because nobody reads from the socket: the sending side of the socket has ended,
 * and the socket has had no reader for `claimTimeout` (C22).
 */
export class Claims {
  private readonly timeout: number;
  private readonly open: ReadonlySet<WitnessedSocket>;
  private readonly readings: Reading[] = [];
  private readonly openedAt = new Map<WitnessedSocket, number>();
  /** When `prepare` last read from each socket. */
  private readonly preparedUntil = new Map<WitnessedSocket, number>();

  /**
   * @param timeout - the client's `claimTimeout`
   * @param open - the sockets that are still open
   */
  constructor(timeout: number, open: ReadonlySet<WitnessedSocket>) {
    this.timeout = timeout;
    this.open = open;
  }

  add(socket: WitnessedSocket): void {
    if (this.timeout > 0) this.openedAt.set(socket, Date.now());
  }

  addReading(reading: Reading): void {
    this.readings.push(reading);
  }

  beginPreparing(socket: WitnessedSocket): void {
    this.preparedUntil.set(socket, Infinity);
  }

  endPreparing(socket: WitnessedSocket): void {
    this.preparedUntil.set(socket, Date.now());
  }

  /** Adds to `discarded` the sockets that the client is permitted to close by now. Called between any two instants. */
  check(discarded: Set<WitnessedSocket>): void {
    const readUntil = Math.max(...this.readings.map((reading) => reading.readUntil));
    for (const [socket, openedAt] of this.openedAt) {
      const lastRead = Math.max(readUntil, this.preparedUntil.get(socket) ?? -Infinity);
      // If nothing was read or written on a socket, the time before the end of its sending side also counts.
      const isUsed = socket.hasWritten || lastRead >= openedAt;
      const unreadFrom = isUsed ? Math.max(lastRead, socket.endedAt) : openedAt;
      if (socket.ended && Date.now() - unreadFrom >= this.timeout) discarded.add(socket);
      else if (this.open.has(socket)) continue;
      this.openedAt.delete(socket);
    }
  }
}
