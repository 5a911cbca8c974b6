import { type Observable, type RetryConfig, throwError, timer } from 'rxjs';
import type { SocketError } from '../errors/socket-error.js';
import {
  type Check,
  checkOptions,
  duration,
  invalidOption,
  number,
  optional,
  refuseUnknown,
  withDefault,
} from '../validation/checks.js';
import { firstAttempt, nextAttempt, type RetryLimits } from './retry-count.js';

/**
 * A reconnect policy made by {@link backoff}, for the option `reconnect` and for RxJS's `retry`.
 *
 * @example
 * ```ts
 * const policy: Backoff = backoff({ max: 10_000 });
 * ```
 * @see rule K5
 */
export interface Backoff extends RetryConfig {
  /** The time, in ms, that a connection must have been up before the count of attempts restarts. */
  readonly stableAfter: number;
}

/**
 * Configures the delays and the number of retries of {@link backoff}.
 *
 * @example
 * ```ts
 * const options: BackoffOptions = { initial: 500, max: 60_000, attempts: 20 };
 * ```
 * @see rule K5
 */
export interface BackoffOptions {
  /**
   * The first and shortest delay: greater than 0 and less than 2³¹.
   *
   * @defaultValue `100`, or `max` if `max` is less than 100
   * @unit ms
   */
  readonly initial?: number | undefined;
  /**
   * The longest delay: at least `initial` and less than 2³¹.
   *
   * @defaultValue 30_000
   * @unit ms
   */
  readonly max?: number | undefined;
  /**
   * The growth factor of the delays: a finite number, at least 1.
   *
   * @defaultValue 2
   */
  readonly factor?: number | undefined;
  /**
   * The share of a delay that is random, from 0 to 1. The random share keeps clients that were disconnected at the same
   * moment from reconnecting at the same moment.
   *
   * @defaultValue 0.5
   */
  readonly jitter?: number | undefined;
  /**
   * The maximum number of consecutive retries: an integer, at least 0, or `Infinity`.
   *
   * @defaultValue Infinity
   */
  readonly attempts?: number | undefined;
  /**
   * The time that a connection must have been up before the count of retries restarts: at least 0 and less than 2³¹. A
   * connection that ends before this time does not restart the count, so the delays continue to grow.
   *
   * @defaultValue 5_000
   * @unit ms
   */
  readonly stableAfter?: number | undefined;
}

const positiveDuration = number(
  'a number of milliseconds, greater than 0 and less than 2^31',
  (value) => value > 0 && value < 2 ** 31,
);

export const attemptCount: Check<number> = number(
  'an integer, at least 0, or Infinity',
  (value) => value === Infinity || (Number.isSafeInteger(value) && value >= 0),
);

/** The time, in ms, that a connection must have been up before the count of attempts restarts. */
const defaultStableAfter = 5_000;

const checks = {
  initial: optional(positiveDuration),
  max: withDefault(positiveDuration, 30_000),
  factor: withDefault(
    number('a finite number, at least 1', (value) => value >= 1 && value < Infinity),
    2,
  ),
  jitter: withDefault(
    number('a number from 0 to 1', (value) => value >= 0 && value <= 1),
    0.5,
  ),
  attempts: withDefault(attemptCount, Infinity),
  stableAfter: withDefault(duration, defaultStableAfter),
} satisfies Record<keyof BackoffOptions, unknown>;

/**
 * The uptime of each failed connection, in ms. The key is the connection's error, because RxJS's `retry` passes the
 * error to `delay`, but does not pass the uptime.
 */
const uptimes = new WeakMap<object, number>();

export function noteUptime(error: SocketError, uptime: number): void {
  uptimes.set(error, uptime);
}

/**
 * Creates a reconnect policy with delays that grow up to a limit and are partly random.
 *
 * Let base = min(`max`, `initial` · `factor`^(n−1)). The n-th consecutive delay is a random time between max(`initial`,
 * base · (1 − `jitter`)) and base.
 *
 * With the option `reconnect`, the client's channel continues across connections. With RxJS's `retry`, each attempt is
 * a new subscription, and only a failure causes a retry.
 *
 * Several clients can share a policy. Each client and each call of `retry` has its own count of retries. The
 * subscribers of one call of `retry` share a count. To give each subscriber its own count, call `retry` within `defer`.
 *
 * @param options - `initial` (100 ms), `max` (30,000 ms), `factor` (2), `jitter` (0.5), `attempts` (`Infinity`) and
 * `stableAfter` (5,000 ms)
 * @returns a `RetryConfig` that keeps its own count of retries
 * @throws `ERR_OPTION_INVALID`, synchronously
 * @example
 * ```ts
 * const client = connect('tcp://localhost:7000', { codec: lines(), reconnect: backoff() });
 * const states = connect('tcp://localhost:7000', { codec: lines() }).pipe(retry(backoff({ attempts: 5 })));
 * ```
 * @see https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/, rule K5
 */
export function backoff(options: BackoffOptions = {}): Backoff {
  const delays = new ExponentialBackoff(options);
  refuseUnknown('backoff', checks, options);
  return {
    resetOnSuccess: false,
    stableAfter: delays.stableAfter,
    /**
     * Each read of this property starts a new count. `retry` reads the property once per call. Making a copy of the
     * policy reads the property once, so all uses of that copy share one count.
     */
    get delay() {
      return delays.counted();
    },
  };
}

type DelayFunction = Extract<RetryConfig['delay'], (...parameters: never[]) => unknown>;

/** The key under which a `delay` function carries its schedule. */
const schedule: unique symbol = Symbol('schedule');

interface CountedDelay extends DelayFunction {
  readonly [schedule]: ExponentialBackoff;
}

/** Returns the schedule of a policy that `backoff` has created, or of a copy of such a policy. */
export function scheduleOf({ delay }: RetryConfig): ExponentialBackoff | undefined {
  return typeof delay === 'function' ? (delay as Partial<CountedDelay>)[schedule] : undefined;
}

/** Reads the limits of `policy`: a `RetryConfig`, or a policy created by `backoff` (K11). */
export function retryLimits(policy: RetryConfig & { readonly stableAfter?: number }): RetryLimits {
  const { count = Infinity, resetOnSuccess } = policy;
  return {
    attempts: Math.min(count, scheduleOf(policy)?.attempts ?? Infinity),
    stableAfter: policy.stableAfter ?? (resetOnSuccess === true ? 0 : defaultStableAfter),
  };
}

export class ExponentialBackoff implements RetryLimits {
  readonly stableAfter: number;
  readonly attempts: number;
  private readonly initial: number;
  private readonly max: number;
  private readonly factor: number;
  private readonly jitter: number;

  constructor(options: BackoffOptions) {
    const { max, factor, jitter, attempts, stableAfter, ...given } = checkOptions(checks, options);
    const initial = given.initial ?? Math.min(100, max);
    if (max < initial) throw invalidOption('max', `at least initial (${initial} ms)`, max);
    this.initial = initial;
    this.max = max;
    this.factor = factor;
    this.jitter = jitter;
    this.attempts = attempts;
    this.stableAfter = stableAfter;
  }

  /**
   * Makes a `delay` function for `retry`, with its own count of retries. If no retry is left, the function returns an
   * Observable that fails with the error.
   */
  counted(): CountedDelay {
    let count = firstAttempt;
    const delay = (error: unknown, retryCount: number): Observable<unknown> => {
      const uptime = typeof error === 'object' && error !== null ? uptimes.get(error) : undefined;
      const next = nextAttempt(this, retryCount === 1 ? firstAttempt : count, uptime);
      // eslint-disable-next-line rxjs-x/throw-error -- passed on unchanged
      if (next === undefined) return throwError(() => error);
      count = next;
      return timer(this.delayOf(next.retries));
    };
    return Object.assign(delay, { [schedule]: this });
  }

  /** Draws the n-th consecutive delay, in ms. */
  delayOf(n: number): number {
    const base = Math.min(this.max, this.initial * this.factor ** (n - 1));
    const least = Math.max(this.initial, base * (1 - this.jitter));
    return least + Math.random() * (base - least);
  }
}
