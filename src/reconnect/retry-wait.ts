import { defer, type Observable, type RetryConfig, type Subscription, take, timer } from 'rxjs';
import { SocketError } from '../errors/socket-error.js';
import { ExponentialBackoff, scheduleOf } from './backoff.js';

export interface RetryWaitEvents {
  /**
   * Called when the wait for the next attempt begins. `delay` is in ms, or NaN if the policy has a `delay` function
   * that `backoff` did not make.
   */
  waits(delay: number): void;
  due(): void;
  /** Called when the policy ends without a further attempt. */
  gaveUp(): void;
  failed(cause: unknown): void;
}

/**
 * Waits for the time that `policy` determines (K11).
 *
 * If the policy fails or completes during the call of `waitForRetry`, `waits` is not called (K10). If the policy emits
 * during the call of `waitForRetry`, `waits` is called first, and then `due` is called.
 *
 * @param error - the error that ended the last connection or attempt; absent after a clean end
 * @param retries - the number of consecutive retries, including the next retry
 */
export function waitForRetry(
  policy: RetryConfig,
  error: SocketError | undefined,
  retries: number,
  events: RetryWaitEvents,
): Subscription {
  const { delay, over } = waitOf(
    policy,
    error ?? new SocketError('ERR_CLOSED', 'the peer has closed the connection'),
    retries,
  );
  let phase = 'starting' as 'starting' | 'waiting' | 'due';
  const wait = over.pipe(take(1)).subscribe({
    next: () => {
      const hasBegun = phase === 'waiting';
      phase = 'due';
      if (hasBegun) events.due();
    },
    error: (cause: unknown) => events.failed(cause),
    complete: () => {
      if (phase !== 'due') events.gaveUp();
    },
  });
  if (wait.closed && phase !== 'due') return wait;
  events.waits(delay);
  if (phase === 'due') events.due();
  else phase = 'waiting';
  return wait;
}

interface Wait {
  readonly delay: number;
  readonly over: Observable<unknown>;
}

function waitOf(policy: RetryConfig, error: SocketError, retries: number): Wait {
  const { delay } = policy;
  // A policy without a delay gets the default delays, so that the client does not flood a server that is down.
  const schedule = delay === undefined ? new ExponentialBackoff({}) : scheduleOf(policy);
  if (schedule === undefined && typeof delay === 'function') {
    return { delay: NaN, over: defer(() => delay(error, retries)) };
  }
  const time = schedule?.delayOf(retries) ?? (delay as number);
  return { delay: time, over: timer(time) };
}
