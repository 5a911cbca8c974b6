import { defer, type Observable, type RetryConfig, type Subscription, take, timer } from 'rxjs';
import { SocketError } from '../errors/socket-error.js';
import { ExponentialBackoff, scheduleOf } from './backoff.js';

/** What happens while a client waits for its next attempt. */
export interface RetryWaitEvents {
  /** The wait has begun. `delay` is in ms, or NaN where only the policy's Observable knows. */
  waits(delay: number): void;
  /** It is time for the next attempt. */
  due(): void;
  /** The policy wants no further attempt. */
  ended(): void;
  /** The policy has failed. */
  failed(cause: unknown): void;
}

/**
 * Waits as `policy` says (K11).
 *
 * A policy that fails or completes within the call ends the wait before `waits` was called (K10). One that emits within
 * the call still waits first, and is due after that.
 *
 * @param error - what ended the last connection or attempt; absent after a clean end
 * @param retries - how often the client has dialled again in a row, with the attempt that it waits for
 */
export function waitForRetry(
  policy: RetryConfig,
  error: SocketError | undefined,
  retries: number,
  events: RetryWaitEvents,
): Subscription {
  const { delay, over } = waitOf(policy, error ?? new SocketError('ERR_CLOSED', 'the peer has finished'), retries);
  let isWaiting = false;
  let isDue = false;
  const wait = over.pipe(take(1)).subscribe({
    next: () => {
      isDue = true;
      if (isWaiting) events.due();
    },
    error: (cause: unknown) => events.failed(cause),
    complete: () => {
      if (!isDue) events.ended();
    },
  });
  if (wait.closed && !isDue) return wait;
  isWaiting = true;
  events.waits(delay);
  if (isDue) events.due();
  return wait;
}

interface Wait {
  readonly delay: number;
  readonly over: Observable<unknown>;
}

function waitOf(policy: RetryConfig, error: SocketError, retries: number): Wait {
  const { delay } = policy;
  // A policy without a delay must not flood a server that is down.
  const schedule = delay === undefined ? new ExponentialBackoff({}) : scheduleOf(policy);
  if (schedule === undefined && typeof delay === 'function') {
    return { delay: NaN, over: defer(() => delay(error, retries)) };
  }
  const time = schedule?.delayOf(retries) ?? (delay as number);
  return { delay: time, over: timer(time) };
}
