import { checkExactOptions, duration, flag, withDefault } from '../validation/checks.js';

/**
 * Configures {@link Server.shutdown}.
 *
 * @example
 * ```ts
 * const options: ShutdownOptions = { deadline: 30_000 };
 * ```
 * @see rules S7 and S14
 */
export interface ShutdownOptions {
  /**
   * The time after which the remaining connections are aborted: at least 0 and less than 2³¹. 0 means that no
   * connection is aborted. A second call of `shutdown` can shorten the time, but cannot extend it.
   *
   * @defaultValue the option `closeTimeout`
   * @unit ms
   */
  readonly deadline?: number | undefined;
  /**
   * Whether `shutdown` waits for handlers and sends in progress. If `drain` is false, the connections close
   * immediately. But a connection with an unfinished paced send is aborted, so that the part that was sent does not
   * look complete to the peer.
   *
   * @defaultValue true
   */
  readonly drain?: boolean | undefined;
}

export interface ShutdownSettings {
  readonly deadline: number;
  readonly drain: boolean;
}

/** Checks the options of `shutdown` and fills in the defaults (A5, S14). */
export function shutdownSettings(options: ShutdownOptions, closeTimeout: number): ShutdownSettings {
  const checks = { deadline: withDefault(duration, closeTimeout), drain: withDefault(flag, true) };
  return checkExactOptions('shutdown', checks, options);
}
