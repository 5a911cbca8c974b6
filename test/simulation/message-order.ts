import { type Message, shownMessage } from './message.js';

/**
 * Checks the order of the messages that one client receives. The messages of each connection of the host must come
 * without a gap, from the first message on (C1, K4). The client's own messages that the host sends back, and the
 * messages of the Broadcast, must come in the order of creation.
 */
export class MessageOrder {
  private readonly client: number;
  private readonly isHostLossy: () => boolean;
  private readonly wrong: (rule: string, what: string) => void;
  private lastEcho = -1;
  private lastPublished = -1;
  /** The number of the next message from each connection of the host. */
  private readonly nextOf = new Map<number, number>();

  constructor(client: number, isHostLossy: () => boolean, wrong: (rule: string, what: string) => void) {
    this.client = client;
    this.isHostLossy = isHostLossy;
    this.wrong = wrong;
  }

  /** Call with a message that only `prepare` has received. The order continues with the message after it. */
  skip({ kind, source, number }: Message): void {
    if (kind === 'server') this.nextOf.set(source, number + 1);
  }

  see(message: Message): void {
    const { kind, source, number } = message;
    switch (kind) {
      case 'own':
        if (source !== this.client) this.wrong('C1', `was given ${shownMessage(message)}`);
        break;
      case 'client':
        if (source !== this.client || number <= this.lastEcho) {
          this.wrong('C1', `was given ${shownMessage(message)} after ${this.lastEcho}`);
        }
        this.lastEcho = number;
        break;
      case 'broadcast':
        if (number <= this.lastPublished) {
          this.wrong('B1', `was given ${shownMessage(message)} after ${this.lastPublished}`);
        }
        this.lastPublished = number;
        break;
      case 'server': {
        const due = this.nextOf.get(source) ?? 0;
        if (number !== due && !this.isHostLossy()) {
          this.wrong('C1', `was given ${shownMessage(message)} instead of ${due}`);
        }
        this.nextOf.set(source, number + 1);
      }
    }
  }
}
