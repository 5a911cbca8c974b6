import { type Observable, type RetryConfig, throwError, timer } from 'rxjs';
import { SocketError } from './errors.js';

/** A policy of when to dial again: for `reconnect`, and for the standard `retry`. */
export interface Backoff extends RetryConfig {
  /** For how long a connection must have been up, in ms, before the count starts again. */
  readonly stableAfter: number;
}

export interface BackoffOptions {
  readonly initial?: number;
  readonly max?: number;
  readonly factor?: number;
  readonly jitter?: number;
  readonly attempts?: number;
  readonly stableAfter?: number;
}

/** How long the connection had been up that an error ended, in ms: the standard `retry` hands on nothing but the error. */
const uptimes = new WeakMap<object, number>();

/** Remembers how long the connection had been up that `error` ended. */
export function noteUptime(error: SocketError, uptime: number): void {
  uptimes.set(error, uptime);
}

export function backoff(options: BackoffOptions = {}): Backoff {
  return new ExponentialBackoff(options);
}

/** Exponential with jitter (K5). The standard `retry` counts on for ever, so the policy keeps a count of its own. */
export class ExponentialBackoff implements Backoff {
  readonly resetOnSuccess = false;
  readonly stableAfter: number;
  readonly attempts: number;
  private readonly initial: number;
  private readonly max: number;
  private readonly factor: number;
  private readonly jitter: number;
  private retries = 0;

  constructor(options: BackoffOptions) {
    const {
      max = 30_000,
      initial = Math.min(100, max),
      factor = 2,
      jitter = 0.5,
      attempts = Infinity,
      stableAfter = 5_000,
    } = options;
    assert('initial', initial, initial > 0 && initial < 2 ** 31, 'a number of milliseconds over 0 and under 2^31');
    assert('max', max, max >= initial && max < 2 ** 31, 'a number of milliseconds from `initial` to under 2^31');
    assert('factor', factor, factor >= 1 && factor < Infinity, 'a finite number from 1');
    assert('jitter', jitter, jitter >= 0 && jitter <= 1, 'a number from 0 to 1');
    assert(
      'attempts',
      attempts,
      attempts === Infinity || (Number.isSafeInteger(attempts) && attempts >= 0),
      'a whole number from 0, or Infinity',
    );
    assert(
      'stableAfter',
      stableAfter,
      stableAfter >= 0 && stableAfter < 2 ** 31,
      'a number of milliseconds from 0 to under 2^31',
    );
    this.initial = initial;
    this.max = max;
    this.factor = factor;
    this.jitter = jitter;
    this.attempts = attempts;
    this.stableAfter = stableAfter;
  }

  /** For `retry`: waits, or fails with the error where it was tried often enough. */
  readonly delay = (error: unknown, retryCount: number): Observable<unknown> => {
    const uptime = typeof error === 'object' && error !== null ? (uptimes.get(error) ?? -1) : -1;
    const startsAgain = retryCount === 1 || uptime >= this.stableAfter;
    this.retries = startsAgain ? 1 : this.retries + 1;
    if (this.retries <= this.attempts) return timer(this.delayOf(this.retries));
    // eslint-disable-next-line rxjs-x/throw-error -- handed on as it came
    return throwError(() => error);
  };

  /** The n-th delay in a row, in ms: random, between a share of its base and the base. */
  delayOf(n: number): number {
    const base = Math.min(this.max, this.initial * this.factor ** (n - 1));
    const least = Math.max(this.initial, base * (1 - this.jitter));
    return least + Math.random() * (base - least);
  }
}

function assert(name: string, value: unknown, holds: boolean, wanted: string): void {
  if (typeof value === 'number' && holds) return;
  throw new SocketError('ERR_OPTION_INVALID', `backoff: ${name} must be ${wanted}, not ${String(value)}`);
}
