import { type Observable, Subscription } from 'rxjs';
import type { Channel } from './channel.js';
import { host } from './internal-access.js';
import { noteReportedCause } from '../errors/error-origin.js';
import { ReportedObservable } from '../flow/reported-errors.js';

/**
 * Relays between two channels, as a proxy does. The messages of each channel are sent on the other channel, at the pace
 * of the other channel's peer. When the peer of one channel sends a FIN, a FIN is also sent on the other channel. Each
 * subscription is equivalent to:
 *
 * ```ts
 * async function relay(a: Channel<Buffer, Bytes>, b: Channel<Buffer, Bytes>): Promise<void> {
 *   const pass = async (from: Flow<Buffer>, to: Channel<unknown, Bytes>) => {
 *     await lastValueFrom(from.pipe(sendTo(to)), { defaultValue: undefined }); // an error of `from` fails `to`
 *     to.complete();
 *   };
 *   await Promise.all([pass(a, b), pass(b, a)]);
 * }
 * ```
 *
 * If the sending side of `b` ends cleanly, for example because the peer of `b` has finished and `b` has no `halfOpen`,
 * the messages that `a` receives after that are dropped. When the direction from `b` to `a` has also ended, `a` is
 * closed gracefully. The same rule applies if the sending side of `a` ends.
 *
 * @param a - one side
 * @param b - the other side
 * @returns a cold Observable without values, which relays nothing until it is subscribed to. The Observable completes
 * when both directions have ended. If one side fails, the Observable fails with that side's error, and the other side's
 * connection fails with `ERR_HANDLER`
 * @backpressure each side is held while the other side isn't writable, so each side buffers at most `highWaterMark`
 * bytes and one value
 * @teardown unsubscribing stops both directions and leaves both channels open
 * @example
 * ```ts
 * const behind = connect('unix:/run/app.sock', { halfOpen: true }); // so that its FIN ends one direction only
 * relay(connection.bytes, behind.data).subscribe({ error: (error: unknown) => console.log(String(error)) });
 * ```
 * @see rule K6
 */
export function relay(a: Channel<any, any>, b: Channel<any, any>): Observable<never> {
  return new ReportedObservable<never>((subscriber) => {
    const directions = new Subscription();
    /** The sides whose messages can no longer be passed on. */
    const unwanted: Channel<any, any>[] = [];
    let left = 2;
    const done = (): void => {
      if (--left > 0) return;
      // A graceful close has a time limit, so no side is closed while one of the two directions is still running.
      for (const side of unwanted) void side[host].close();
      subscriber.complete();
    };
    const failed = (reason: unknown): void => {
      directions.unsubscribe();
      for (const side of [a, b]) {
        side[host].failedBy(reason);
        if (side[host].hasIncidents) noteReportedCause(reason);
      }
      subscriber.error(reason);
    };
    const discard = (side: Channel<any, any>): void => {
      unwanted.push(side);
      directions.add(side.subscribe({ error: failed }));
      done();
    };
    const pass = (from: Channel<any, any>, to: Channel<any, any>): void => {
      const sending = to.sendFrom(from).subscribe({
        complete: () => {
          to.complete();
          done();
        },
        error: (reason: unknown) => {
          const { lane } = to[host];
          if (lane.closed && lane.error === undefined) discard(from);
          else failed(reason);
        },
      });
      directions.add(sending);
    };
    pass(a, b);
    if (!subscriber.closed) pass(b, a);
    return directions;
  });
}
