/**
 * Sets how {@link Server.shutdown} goes.
 *
 * @example
 * ```ts
 * const options: ShutdownOptions = { deadline: 30_000 };
 * ```
 * @see rules S7 and S14
 */
export interface ShutdownOptions {
  /**
   * After how long what is left is aborted, from 0 to under 2³¹; 0 for never. In a second call it can
   * only hurry.
   *
   * @defaultValue the option `closeTimeout`
   * @unit ms
   */
  readonly deadline?: number | undefined;
  /**
   * Whether handlers and sends that are in progress are waited for. Without that, connections close at once, and a paced
   * send that is not finished is aborted, so that it does not look complete.
   *
   * @defaultValue true
   */
  readonly drain?: boolean | undefined;
}
