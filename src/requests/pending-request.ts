import type { Carrier } from '../channel/channel-host.js';
import type { SocketError } from '../errors/socket-error.js';
import type { Inbound } from '../io/inbound.js';
import { handled, type SendLane } from '../io/outbound.js';

/** One request that was sent and has no answer yet. */
export class PendingRequest<In, Id> {
  readonly id: Id | undefined;
  /** When it times out. */
  readonly due: number;
  /** What `ask` gives. */
  readonly answer: Promise<In>;
  /** `'abandoned'` is one that has timed out, and may still be answered. */
  state: 'pending' | 'abandoned' | 'over' = 'pending';
  /** Where it was given to the channel. */
  lane: SendLane | undefined;
  /** The connection that it was sent on: its answer comes there or nowhere. */
  sentOn: Carrier | undefined;
  /** Whether that connection has ended, and has left messages that are still to be read. */
  isStranded = false;

  /** The connection that was there when it was asked. */
  private readonly askedOn: Carrier | undefined;
  /** How many bytes had been received there by then. */
  private readonly receivedBefore: number;
  private settle: { resolve(message: In): void; reject(error: unknown): void } | undefined;

  /** @param askedOn - the connection that takes it, if one is there already */
  constructor(id: Id | undefined, due: number, askedOn: Carrier | undefined) {
    this.id = id;
    this.due = due;
    this.askedOn = askedOn;
    this.receivedBefore = askedOn?.inbound.received ?? 0;
    // A rejection that nobody waits for must not end the process: it is the peer that decides when a connection ends.
    this.answer = handled(
      new Promise((resolve, reject) => {
        this.settle = { resolve, reject };
      }),
    );
  }

  /**
   * Whether the message that was decoded last can be its answer: it came on the same connection, and after the request
   * was made. Without this a greeting, or what an earlier connection has left, would be taken for the answer.
   *
   * @param inbound - where the message came from
   * @param carrier - the connection that takes what is sent now
   */
  canBeAnswered(inbound: Inbound | undefined, carrier: Carrier | undefined): boolean {
    const connection = this.sentOn ?? carrier;
    if (inbound === undefined || connection?.inbound !== inbound) return false;
    return connection !== this.askedOn || inbound.queue.position > this.receivedBefore;
  }

  resolve(message: In): void {
    this.state = 'over';
    this.settle?.resolve(message);
    this.settle = undefined;
  }

  reject(error: unknown): void {
    this.state = 'over';
    this.settle?.reject(error);
    this.settle = undefined;
  }

  /** It has timed out. */
  abandon(error: SocketError): void {
    this.reject(error);
    this.state = 'abandoned';
  }
}
