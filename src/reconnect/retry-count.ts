import type { RetryConfig } from 'rxjs';
import { scheduleOf } from './backoff.js';

/** How often a policy has a client dial again. */
export interface RetryLimits {
  /** How many retries in a row there are at most. */
  readonly attempts: number;
  /** How long a connection has to be up, in ms, before the count starts again. */
  readonly stableAfter: number;
}

/** The number of an attempt, from 1, and how many retries in a row have led to it. Both start again after a stable connection. */
export interface AttemptCount {
  readonly attempt: number;
  readonly retries: number;
}

/** The count of a client that starts to dial. */
export const firstAttempt: AttemptCount = { attempt: 1, retries: 0 };

/** Reads the limits of `policy`, a `RetryConfig` or what `backoff` makes (K11). */
export function retryLimits(policy: RetryConfig & { readonly stableAfter?: number }): RetryLimits {
  const { count = Infinity, resetOnSuccess } = policy;
  return {
    attempts: Math.min(count, scheduleOf(policy)?.attempts ?? Infinity),
    stableAfter: policy.stableAfter ?? (resetOnSuccess === true ? 0 : 5_000),
  };
}

/**
 * Counts one more retry (K2, K5).
 *
 * @param uptime - how long the connection was up that has ended, in ms; absent after an attempt that failed
 * @returns the count of the next attempt, or nothing if the limits allow no further one
 */
export function nextAttempt(limits: RetryLimits, count: AttemptCount, uptime?: number): AttemptCount | undefined {
  const isStable = uptime !== undefined && uptime >= limits.stableAfter;
  const retries = isStable ? 1 : count.retries + 1;
  if (retries > limits.attempts) return undefined;
  return { attempt: isStable ? 1 : count.attempt + 1, retries };
}
