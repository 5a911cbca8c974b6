import { asyncScheduler, defer, Observable, type RetryConfig, take, timer } from 'rxjs';
import { ExponentialBackoff, noteUptime, scheduleOf } from './backoff.js';
import { SocketError } from '../errors/socket-error.js';

/** What is to happen after a connection, or an attempt at one, has ended. */
export type Verdict =
  | {
      readonly kind: 'wait';
      /** In ms; NaN where only the policy's own Observable knows. */
      readonly delay: number;
      /**
       * Emits when it is to be tried again. A policy that completes before that wants no further attempt, as with
       * `retry`; `waits` is called first, unless it does so, or fails, at once.
       */
      readonly over: (waits: () => void) => Observable<void>;
    }
  | { readonly kind: 'end' };

/** Where more was sent than may wait, another connection would not help: the client ends (K4). */
export function isFinal(error: SocketError | undefined): boolean {
  return error?.code === 'ERR_OVERFLOW';
}

/** How long a connection has to be up, in ms, before the count starts again. */
function stableTime(policy: RetryConfig & { readonly stableAfter?: number }): number {
  return policy.stableAfter ?? (policy.resetOnSuccess === true ? 0 : 5_000);
}

/** The count of one client's attempts, and its policy (K2, K5). */
export class ReconnectState {
  /** The number of the attempt under way, from 1; it starts again after a stable connection. */
  attempt = 1;
  /** How often it was dialled again since the start or the last stable connection. */
  private retries = 0;
  private stable = false;
  /** When the attempt under way was connected. */
  private since: number | undefined;
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

  /** The attempt under way has a connection. */
  connected(): void {
    this.since = asyncScheduler.now();
  }

  /** Judges the end of the attempt under way, or of its connection; `redials` is whether there may be another one. */
  judge(error: SocketError | undefined, redials: boolean): Verdict {
    const { policy, since } = this;
    this.since = undefined;
    const uptime = since === undefined ? -1 : asyncScheduler.now() - since;
    if (error !== undefined && uptime >= 0) noteUptime(error, uptime);
    if (policy === undefined || !redials) return { kind: 'end' };
    this.stable = uptime >= 0 && uptime >= stableTime(policy);
    this.retries = this.stable ? 1 : this.retries + 1;
    const { count = Infinity } = policy;
    if (this.retries > Math.min(count, scheduleOf(policy)?.attempts ?? Infinity)) return { kind: 'end' };
    return this.wait(policy, error ?? new SocketError('ERR_CLOSED', 'the peer has finished'));
  }

  private wait(policy: RetryConfig, error: SocketError): Verdict {
    const { delay } = policy;
    // Without a delay a server that is not there would be hammered.
    const schedule = delay === undefined ? new ExponentialBackoff({}) : scheduleOf(policy);
    if (schedule !== undefined) return this.waitFor(schedule.delayOf(this.retries));
    if (typeof delay !== 'function') return this.waitFor(delay ?? 0);
    return { kind: 'wait', delay: NaN, over: this.once(defer(() => delay(error, this.retries))) };
  }

  private waitFor(delay: number): Verdict {
    return { kind: 'wait', delay, over: this.once(timer(delay)) };
  }

  private once(notifier: Observable<unknown>): (waits: () => void) => Observable<void> {
    return (waits) =>
      new Observable<void>((subscriber) => {
        let told = false;
        let early = false;
        const again = (): void => {
          this.attempt = this.stable ? 1 : this.attempt + 1;
          subscriber.next();
        };
        subscriber.add(
          notifier.pipe(take(1)).subscribe({
            next: () => {
              if (told) again();
              else early = true;
            },
            error: (error: unknown) => subscriber.error(error),
            complete: () => {
              if (!early) subscriber.complete();
            },
          }),
        );
        if (subscriber.closed) return;
        told = true;
        waits();
        if (early) again();
      });
  }
}
