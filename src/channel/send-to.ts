import type { OperatorFunction } from 'rxjs';
import type { Channel } from './channel.js';
import { host } from './internal-access.js';
import { SendFrom } from './send-from.js';

/**
 * Sends the values of the source on a channel, at the channel's pace. `sendTo` is {@link Channel.sendFrom} as an
 * operator, with one difference: an error from the source also fails the connection, with `ERR_HANDLER` and that error
 * as `cause`. Otherwise the operator is equivalent to:
 *
 * ```ts
 * const sendTo =
 *   <T>(channel: Channel<unknown, T>) =>
 *   (source: Observable<T>): Observable<never> =>
 *     channel.sendFrom(source);
 * ```
 *
 * @typeParam T - the type of the values, which the channel sends
 * @param channel - the channel to send on
 * @returns an operator that returns a cold Observable without values. The Observable completes when the source has
 * completed and the kernel has taken everything. The Observable fails in the same cases as the Observable of {@link
 * Channel.sendFrom}
 * @backpressure a Flow is held while the channel isn't writable. A plain Observable can fill the buffer up to
 * `maxBuffered` bytes; then the option `overflow` applies
 * @teardown unsubscribing stops the source and leaves the channel open
 * @example
 * ```ts
 * connection.data
 *   .pipe(
 *     map((line) => line.toUpperCase()),
 *     sendTo(connection.data),
 *   )
 *   .subscribe({ error: (error: unknown) => console.log(String(error)) });
 * ```
 * @see rule C5
 */
export function sendTo<T>(channel: Channel<any, T>): OperatorFunction<T, never> {
  return (source) => new SendFrom(channel, channel[host], source, true);
}
