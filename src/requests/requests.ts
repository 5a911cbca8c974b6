import { Channel } from '../channel/channel.js';
import { invalidOption } from '../validation/checks.js';
import type { Flow } from '../flow/flow.js';
import { requestSettings } from './request-settings.js';
import { Conversation } from './conversation.js';

/**
 * Sets how {@link requests} waits for answers that come in the order of the requests.
 *
 * @example
 * ```ts
 * const options: RequestsOptions = { timeout: 1_000, maxPending: 100 };
 * ```
 * @see rule K21
 */
export interface RequestsOptions {
  /**
   * How long a request may take, from the call of `ask` on; then it rejects with `ERR_TIMEOUT_REQUEST`. 0 means for ever.
   *
   * @defaultValue 10_000
   * @unit ms
   */
  readonly timeout?: number | undefined;
  /**
   * How many requests may be pending, from 1; one more rejects with `ERR_OVERFLOW` and is not sent.
   *
   * @defaultValue 1_024
   * @unit requests
   */
  readonly maxPending?: number | undefined;
}

/**
 * Sets how {@link requests} waits for answers that bear the id of their request.
 *
 * @typeParam In - what is received
 * @typeParam Id - what tells requests apart
 * @example
 * ```ts
 * const options: RequestsByIdOptions<{ id?: number }, number> = { answers: (message) => message.id };
 * ```
 * @see rule K21
 */
export interface RequestsByIdOptions<In, Id> extends RequestsOptions {
  /**
   * Tells which request a message answers: its id, or `undefined` for a message that answers none. It is called with every
   * message, of a peer that may send anything. What it throws fails the connection with `ERR_HANDLER`.
   */
  readonly answers: (message: In) => Id | undefined;
}

/**
 * Shows what {@link requests} makes of a channel, besides `ask`.
 *
 * @typeParam In - what is received
 * @example
 * ```ts
 * const busy = (calls: Requests<unknown>): boolean => calls.pending > 100;
 * ```
 * @see {@link RequestsInOrder} and {@link RequestsById}
 */
export interface Requests<In> {
  /**
   * Emits the messages that answer no request, and ends as the channel does. Subscribing subscribes to the channel, so on a
   * client's `data` it dials, and the client stays connected until the last subscriber leaves (K1).
   *
   * An event that comes while nobody is subscribed is dropped if a request is pending, since the answer lies behind it;
   * otherwise it waits in the channel (F1).
   *
   * @backpressure While it is held, and no request is pending, the channel is held, and the peer has to wait. While one is
   * pending, up to 1,024 events and 1,048,576 bytes of them wait here, so that the answer gets through. When more come, the
   * channel is held all the same, and the answer waits until the events are read or the request times out. With a `timeout`
   * of 0 the connection fails with `ERR_OVERFLOW` instead.
   * @example
   * ```ts
   * calls.events.subscribe({
   *   next: (event) => console.log(event),
   *   error: (error: unknown) => console.log(String(error)),
   * });
   * ```
   */
  readonly events: Flow<In>;
  /** How many requests have neither been answered nor rejected. */
  readonly pending: number;
}

/**
 * Asks on a channel whose answers come in the order of the requests.
 *
 * @typeParam In - what is received
 * @typeParam Out - what is sent
 * @example
 * ```ts
 * const time = async (clock: RequestsInOrder<string, string>): Promise<number> => Number(await clock.ask('time'));
 * ```
 * @see {@link requests}
 */
export interface RequestsInOrder<In, Out> extends Requests<In> {
  /**
   * Sends a request, and gives its answer. Several may be on their way at once.
   *
   * It rejects in the cases of {@link RequestsById.ask}. A timeout also ends the connection, because nobody can tell whose
   * answer the next message is: `closed` reports `ERR_TIMEOUT_REQUEST`, and so does the state of a client, which dials again
   * with `reconnect`. A request that times out while there is no connection ends none.
   *
   * @param request - what the channel sends
   * @returns a promise of the answer. A rejection that nobody handles ends nothing
   * @example
   * ```ts
   * const [first, second] = await Promise.all([calls.ask('one'), calls.ask('two')]);
   * ```
   */
  ask(request: Out): Promise<In>;
}

/**
 * Asks on a channel whose answers bear the id of their request.
 *
 * @typeParam In - what is received
 * @typeParam Out - what is sent
 * @typeParam Id - what tells requests apart
 * @example
 * ```ts
 * let last = 0;
 * const ping = (peer: RequestsById<unknown, { id: number }, number>): Promise<unknown> =>
 *   peer.ask({ id: ++last }, last);
 * ```
 * @see {@link requests}
 */
export interface RequestsById<In, Out, Id> extends Requests<In> {
  /**
   * Sends a request, and gives the answer that bears its id. Several may be on their way at once.
   *
   * It rejects with the error of the connection that the request was sent on, at once when that ends (`ERR_CLOSED` after a
   * clean end): it is not asked again, and nobody knows whether the peer has seen it. With `reconnect`, a request of which
   * nothing was written yet goes out on the next connection, and stays pending. It rejects too
   *
   * - with `ERR_TIMEOUT_REQUEST` after `timeout`; an answer that comes later is dropped,
   * - with `ERR_OVERFLOW`, and is not sent, if `maxPending` are pending, or the channel takes no more,
   * - with `ERR_FRAME_INVALID` or `ERR_FRAME_TOO_LONG`, and is not sent, if it can't be encoded (D5),
   * - with `ERR_OPTION_INVALID`, and is not sent, if the id is missing, is pending, or has timed out and may still be
   *   answered on this connection.
   *
   * @param request - what the channel sends
   * @param id - what `answers` gives for its answer; compared as the keys of a `Map` are. Use each id once
   * @returns a promise of the answer. A rejection that nobody handles ends nothing
   * @example
   * ```ts
   * const answer = await calls.ask({ id: 7, method: 'time' }, 7);
   * ```
   */
  ask(request: Out, id: Id): Promise<In>;
}

/**
 * Finds the answer of each request on a channel, for protocols in which one side asks and the other answers.
 *
 * With `answers` a message says which request it answers, and the answers may come in any order. Without it each message is
 * the answer to the oldest request that was sent on its connection. What answers nothing is an event.
 *
 * It is subscribed to the channel while a request is pending or somebody is subscribed to the events, and at no other time.
 * A client's `data` that nobody else is subscribed to is therefore dialled by the first request, and hung up after the last
 * answer (K1). `client.open()` keeps it connected, and so does a subscription to the client or to the events.
 *
 * Use one `requests` for a channel, and send nothing else on it that is answered. Apart from timeouts, limits and ends, it is
 * equivalent to:
 *
 * ```ts
 * function correlated<In, Out, Id>(channel: Channel<In, Out>, answers: (message: In) => Id | undefined) {
 *   const waiting = new Map<Id, (answer: In) => void>();
 *   const events = new Subject<In>();
 *   channel.subscribe((message) => {
 *     const id = answers(message);
 *     if (id === undefined) events.next(message);
 *     else waiting.get(id)?.(message);
 *   });
 *   const ask = (request: Out, id: Id) =>
 *     new Promise<In>((resolve) => {
 *       waiting.set(id, resolve);
 *       channel.next(request);
 *     });
 *   return { ask, events };
 * }
 * ```
 *
 * @typeParam In - what is received
 * @typeParam Out - what is sent
 * @typeParam Id - what tells requests apart
 * @param channel - a connection's or a client's `data`, or another view of one
 * @param options - see {@link RequestsByIdOptions}, and {@link RequestsOptions} where the answers come in order
 * @throws `ERR_OPTION_INVALID`, at once, for a bad option, or for what is no channel
 * @example
 * ```ts
 * const calls = requests(connection.data, { answers: (message) => message.id });
 * console.log(await calls.ask({ id: 1, method: 'time' }, 1)); // { id: 1, result: '12:00' }
 * ```
 * @see rule K21, and the page "Requests and answers" of the documentation
 */
export function requests<In, Out>(
  channel: Channel<In, Out>,
  options?: RequestsOptions & { readonly answers?: undefined },
): RequestsInOrder<In, Out>;
// The compiler's message is about the last one.
export function requests<In, Out, Id>(
  channel: Channel<In, Out>,
  options: RequestsByIdOptions<In, Id>,
): RequestsById<In, Out, Id>;
export function requests<In, Out, Id>(
  channel: Channel<In, Out>,
  options: RequestsOptions & { readonly answers?: RequestsByIdOptions<In, Id>['answers'] | undefined } = {},
): RequestsById<In, Out, Id> {
  const settings = requestSettings(options);
  if (!(channel instanceof Channel)) {
    throw invalidOption('requests: channel', 'a channel, such as connection.data', channel);
  }
  return new Conversation<In, Out, Id>(channel, settings);
}
