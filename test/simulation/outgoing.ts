import { type Draft, encodeMessage, type Kind, type Message, shownMessage } from './message.js';
import type { World } from './world.js';

/** The messages that were passed to one side of a stream, in the order in which this side must write them. */
export class Outgoing {
  /** The size of the largest frame, in bytes. */
  largest = 0;

  private readonly world: World;
  private readonly kind: Kind;
  private readonly source: number;
  private readonly lossy: boolean;
  private readonly nextNumber: () => number;
  private readonly waiting: { readonly kind: Kind; readonly number: number }[] = [];

  /**
   * @param lossy - whether the channel may drop messages
   * @param nextNumber - returns the number of the next message of this sender
   */
  constructor(world: World, kind: Kind, source: number, lossy: boolean, nextNumber: () => number) {
    this.world = world;
    this.kind = kind;
    this.source = source;
    this.lossy = lossy;
    this.nextNumber = nextNumber;
  }

  /** Returns a new message, which gets its number when it is encoded. */
  draft(padding: number): Draft {
    const { kind, lossy, waiting } = this;
    let number = -1;
    return {
      make: () => {
        number = this.nextNumber();
        this.expect(kind, number, padding + 13);
        return encodeMessage(kind, this.source, number, padding);
      },
      get waits() {
        return !lossy && waiting.some((other) => other.kind === kind && other.number === number);
      },
    };
  }

  /** Adds a message that must be written after all messages added earlier. */
  expect(kind: Kind, number: number, size: number): void {
    this.largest = Math.max(this.largest, size);
    if (kind === 'client' || kind === 'own') this.world.largestSent = Math.max(this.world.largestSent, size);
    this.waiting.push({ kind, number });
  }

  /** Call when a message was written. Asserts that this message was due (C1, K4, B1). */
  wrote(where: string, message: Message): void {
    const isDue = (due: { kind: Kind; number: number } | undefined): boolean =>
      due?.kind === message.kind && due.number === message.number;
    let due = this.waiting.shift();
    while (this.lossy && due !== undefined && !isDue(due)) due = this.waiting.shift();
    if (isDue(due) && (message.kind === 'broadcast' || message.source === this.source)) return;
    const wanted = due === undefined ? 'nothing was' : `message ${due.number} of the ${due.kind} was`;
    this.world.findings.wrong(
      message.kind === 'client' ? 'K4' : message.kind === 'own' ? 'C5' : 'B1',
      `${where} wrote ${shownMessage(message)} where ${wanted} due`,
    );
  }

  /** Call when the due message was cut off, and is lost with the connection (K4). */
  tore(): void {
    this.waiting.shift();
  }

  /** How many messages have not been written. */
  get left(): number {
    return this.waiting.length;
  }
}
