import { from, type RetryConfig, timer, type Observable } from 'rxjs';
import { ExponentialBackoff } from './backoff.js';
import { SocketError } from './errors.js';

/** What is to happen after a connection, or an attempt at one, has ended. */
export type Verdict =
  { readonly kind: 'wait'; readonly delay: number; readonly over: Observable<unknown> } | { readonly kind: 'end' };

/** How long a connection has to be up where the policy does not say, in ms. */
const stableAfter = 5_000;

/** The count of one client's attempts, and its policy (K2, K5). */
export class Redial {
  /** The number of the attempt under way, from 1; it starts again after a stable connection. */
  attempt = 1;
  /** How often it was dialled again since the start or the last stable connection. */
  private retries = 0;
  private stable = false;
  private policy: RetryConfig | undefined;

  constructor(policy: RetryConfig | undefined) {
    this.policy = policy;
  }

  /** Whether there is a policy at all. */
  get willing(): boolean {
    return this.policy !== undefined;
  }

  /** There is to be no further attempt. */
  stop(): void {
    this.policy = undefined;
  }

  /** Judges the end of the attempt under way; `uptime` is how long it was connected, in ms, or -1. */
  judge(error: SocketError | undefined, uptime: number): Verdict {
    const { policy } = this;
    if (policy === undefined) return { kind: 'end' };
    this.stable = uptime >= 0 && uptime >= ((policy as { stableAfter?: number }).stableAfter ?? stableAfter);
    this.retries = this.stable ? 1 : this.retries + 1;
    const most = policy instanceof ExponentialBackoff ? policy.attempts : (policy.count ?? Infinity);
    if (this.retries > most) return { kind: 'end' };
    return this.wait(policy, error ?? new SocketError('ERR_CLOSED', 'the peer has finished'));
  }

  /** The wait is over: the next attempt begins. */
  next(): void {
    this.attempt = this.stable ? 1 : this.attempt + 1;
  }

  private wait(policy: RetryConfig, error: SocketError): Verdict {
    if (policy instanceof ExponentialBackoff) return waitFor(policy.delayOf(this.retries));
    if (typeof policy.delay !== 'function') return waitFor(policy.delay ?? 0);
    // How long it will take only its Observable knows.
    return { kind: 'wait', delay: NaN, over: from(policy.delay(error, this.retries)) };
  }
}

function waitFor(delay: number): Verdict {
  return { kind: 'wait', delay, over: timer(delay) };
}
