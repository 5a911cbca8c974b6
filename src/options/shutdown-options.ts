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
