import type { Carrier } from '../channel/channel-host.js';
import { handled } from '../errors/error-origin.js';
import type { SocketError } from '../errors/socket-error.js';
import type { Inbound } from '../io/inbound.js';
import type { SendLane } from '../io/send-lane.js';

export class PendingRequest<In, Id> {
  readonly id: Id | undefined;
  /** The time at which the request times out. */
  readonly due: number;
  readonly answer: Promise<In>;
  /** `'abandoned'`: the request has timed out, but the peer may still answer it. */
  state: 'pending' | 'abandoned' | 'over' = 'pending';
  lane: SendLane | undefined;
  /** The connection on which the request was written. Only this connection can deliver the answer. */
  sentOn: Carrier | undefined;
  /** Whether the connection `sentOn` has ended, but still has unread messages. */
  isStranded = false;

  private readonly askedOn: Carrier | undefined;
  /** The number of bytes that `askedOn` had received at the time of `ask`. */
  private readonly receivedBytesBefore: number;
  private settle: { resolve(message: In): void; reject(error: unknown): void } | undefined;

  /** @param askedOn - the connection on which values are sent now, if there is a connection */
  constructor(id: Id | undefined, due: number, askedOn: Carrier | undefined) {
    this.id = id;
    this.due = due;
    this.askedOn = askedOn;
    this.receivedBytesBefore = askedOn?.inbound.received ?? 0;
    // An unhandled rejection must not end the process, because the peer can cause a rejection by ending the connection.
    this.answer = handled(
      new Promise((resolve, reject) => {
        this.settle = { resolve, reject };
      }),
    );
  }

  /**
   * Returns whether the last decoded message can answer this request. The message must have arrived on the request's
   * connection, after the call of `ask`. So a greeting, or a message from an earlier connection, is not an answer.
   *
   * @param inbound - the Inbound that delivered the message
   * @param carrier - the connection on which values are sent now
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

  abandon(error: SocketError): void {
    this.reject(error);
    this.state = 'abandoned';
  }
}
