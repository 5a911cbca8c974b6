import type { OperatorFunction } from 'rxjs';
import type { Channel } from './channel.js';
import { host } from './channel-host.js';
import { SendFrom } from './send-from.js';

/**
 * Sends what the source gives on a channel, at the channel's pace: {@link Channel.sendFrom} as an operator. Apart from a
 * failure of the source, it is equivalent to:
 *
 * ```ts
 * const sendTo =
 *   <T>(channel: Channel<unknown, T>) =>
 *   (source: Observable<T>): Observable<never> =>
 *     channel.sendFrom(source);
 * ```
 *
 * @typeParam T - what the source gives and the channel sends
 * @param channel - where to send
 * @returns an operator; what it makes sends nothing before it is subscribed to
 * @emits no value; completes once the source has completed and all that was sent is with the kernel
 * @throws none; fails as {@link Channel.sendFrom}. A failure of the source is one of the connection, too: it fails with
 * `ERR_HANDLER`, with that error as `cause` (C8)
 * @backpressure a Flow is held while the channel isn't writable; of a plain Observable up to `maxBuffered` waits, then
 * `overflow` acts (F6)
 * @teardown stops the source and leaves the channel open
 * @example
 * ```ts
 * connection.data
 *   .pipe(
 *     map((line) => line.toUpperCase()),
 *     sendTo(connection.data),
 *   )
 *   .subscribe({ error: (error: unknown) => console.log(String(error)) });
 * ```
 * @see rules C5 and F6
 */
export function sendTo<T>(channel: Channel<any, T>): OperatorFunction<T, never> {
  return (source) => new SendFrom(channel, channel[host], source, true);
}
