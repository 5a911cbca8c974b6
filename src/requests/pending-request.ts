import type { Carrier } from '../channel/channel-host.js';
import { handled } from '../errors/error-origin.js';
import type { SocketError } from '../errors/socket-error.js';
import type { Inbound } from '../io/inbound.js';
import type { SendLane } from '../io/send-lane.js';

/** One request, from `ask` until it is answered, rejected or forgotten. */
export class PendingRequest<In, Id> {
  readonly id: Id | undefined;
  /** The time at which it times out. */
  readonly due: number;
  /** The promise that `ask` returns. */
  readonly answer: Promise<In>;
  /** `'abandoned'` means that it has timed out, and may still be answered. */
  state: 'pending' | 'abandoned' | 'over' = 'pending';
  /** The send lane that took it. */
  lane: SendLane | undefined;
  /** The connection that it was sent on; only there can the answer come. */
  sentOn: Carrier | undefined;
  /** Whether that connection has ended, but still has unread messages. */
  isStranded = false;

  /** The connection at the time of `ask`. */
  private readonly askedOn: Carrier | undefined;
  /** The number of bytes received there before. */
  private readonly receivedBytesBefore: number;
  private settle: { resolve(message: In): void; reject(error: unknown): void } | undefined;

  /** @param askedOn - the connection that sends it, if there is one already */
  constructor(id: Id | undefined, due: number, askedOn: Carrier | undefined) {
    this.id = id;
    this.due = due;
    this.askedOn = askedOn;
    this.receivedBytesBefore = askedOn?.inbound.received ?? 0;
    // An unhandled rejection must not end the process: the peer decides when a connection ends.
    this.answer = handled(
      new Promise((resolve, reject) => {
        this.settle = { resolve, reject };
      }),
    );
  }

  /**
   * Whether the last decoded message can be its answer: it came on the same connection, and after the request was made.
   * Otherwise a greeting, or a message left from an earlier connection, would be taken for the answer.
   *
   * @param inbound - the source of the message
   * @param carrier - the connection that sends values now
   */
  canBeAnswered(inbound: Inbound | undefined, carrier: Carrier | undefined): boolean {
    const connection = this.sentOn ?? carrier;
    if (inbound === undefined || connection?.inbound !== inbound) return false;
    return connection !== this.askedOn || inbound.queue.position > this.receivedBytesBefore;
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

  /** Rejects it because it has timed out. */
  abandon(error: SocketError): void {
    this.reject(error);
    this.state = 'abandoned';
  }
}
