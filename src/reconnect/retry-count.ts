export interface RetryLimits {
  /** The maximum number of consecutive retries. */
  readonly attempts: number;
  /** The time, in ms, that a connection must have been up before the count of retries restarts. */
  readonly stableAfter: number;
}

/**
 * The number of an attempt, counted from 1, and the number of consecutive retries before that attempt. Both counts
 * restart after a stable connection.
 */
export interface AttemptCount {
  readonly attempt: number;
  readonly retries: number;
}

export const firstAttempt: AttemptCount = { attempt: 1, retries: 0 };

/**
 * Counts one more retry (K2, K5).
 *
 * @param uptime - how long the ended connection was up, in ms; absent after a failed attempt
 * @returns the count of the next attempt, or `undefined` if the limits allow no further attempt
 */
export function nextAttempt(limits: RetryLimits, count: AttemptCount, uptime?: number): AttemptCount | undefined {
  const isStable = uptime !== undefined && uptime >= limits.stableAfter;
  const retries = isStable ? 1 : count.retries + 1;
  if (retries > limits.attempts) return undefined;
  return { attempt: isStable ? 1 : count.attempt + 1, retries };
}
