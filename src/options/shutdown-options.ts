import { checkOptions, duration, flag, refuseUnknown, withDefault } from '../validation/checks.js';

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
   * The time after which the remaining connections are aborted, from 0 to under 2³¹; 0 means never. A second call can only
   * shorten it.
   *
   * @defaultValue the option `closeTimeout`
   * @unit ms
   */
  readonly deadline?: number | undefined;
  /**
   * Whether to wait for handlers and sends in progress. If false, connections close at once, and unfinished paced sends are
   * aborted, so that they do not look complete.
   *
   * @defaultValue true
   */
  readonly drain?: boolean | undefined;
}

/** The checked options of a shutdown, with their defaults. */
export interface ShutdownSettings {
  readonly deadline: number;
  readonly drain: boolean;
}

/** Checks the options of `shutdown` and fills in the defaults (A5, S14). */
export function shutdownSettings(options: ShutdownOptions, closeTimeout: number): ShutdownSettings {
  const checks = { deadline: withDefault(duration, closeTimeout), drain: withDefault(flag, true) };
  const settings = checkOptions(checks, options);
  refuseUnknown('shutdown', checks, options);
  return settings;
}
