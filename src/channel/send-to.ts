import type { OperatorFunction } from 'rxjs';
import type { Channel } from './channel.js';
import { host } from './internal-access.js';
import { SendFrom } from './send-from.js';

/**
 * Sends the values of the source on a channel, at the channel's pace: {@link Channel.sendFrom} as an operator. Unlike with
 * `sendFrom`, an error of the source also fails the connection, with `ERR_HANDLER` and that error as `cause`. Apart from
 * that it is equivalent to:
 *
 * ```ts
 * const sendTo =
 *   <T>(channel: Channel<unknown, T>) =>
 *   (source: Observable<T>): Observable<never> =>
 *     channel.sendFrom(source);
 * ```
 *
 * @typeParam T - the values of the source, which the channel sends
 * @param channel - the channel to send on
 * @returns an operator. The Observable that it makes is cold and has no values; it completes once the source has completed
 * and the kernel has everything, and fails as that of {@link Channel.sendFrom} does
 * @backpressure a Flow is held while the channel isn't writable; of a plain Observable up to `maxBuffered` bytes are
 * buffered, then the option `overflow` acts
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
