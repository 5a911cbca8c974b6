import { Channel } from '../channel/channel.js';
import { invalidOption } from '../validation/checks.js';
import type { Flow } from '../flow/flow.js';
import { requestSettings } from './request-settings.js';
import { Conversation } from './conversation.js';

/**
 * Configures {@link requests}.
 *
 * @example
 * ```ts
 * const options: RequestsOptions = { timeout: 1_000, maxPending: 100 };
 * ```
 * @see rule K21
 */
export interface RequestsOptions {
  /**
   * The maximum time from the call of `ask` to the answer. If the answer takes longer, the promise rejects with
   * `ERR_TIMEOUT_REQUEST`. 0 means no limit.
   *
   * @defaultValue 10_000
   * @unit ms
   */
  readonly timeout?: number | undefined;
  /**
   * The maximum number of pending requests, at least 1. A further request is not sent, and its promise rejects with
   * `ERR_OVERFLOW`.
   *
   * @defaultValue 1_024
   * @unit requests
   */
  readonly maxPending?: number | undefined;
}

/**
 * Configures {@link requests} for answers that carry the id of their request.
 *
 * @typeParam In - the received messages
 * @typeParam Id - the ids of the requests
 * @example
 * ```ts
 * const options: RequestsByIdOptions<{ id?: number }, number> = { answers: (message) => message.id };
 * ```
 * @see rule K21
 */
export interface RequestsByIdOptions<In, Id> extends RequestsOptions {
  /**
   * Returns the id of the request that a message answers, or `undefined` for a message that answers no request. If no
   * pending request has that id, the message is dropped. The function is called with every message, so the function has
   * to expect any message that the peer can send. If the function throws, the connection fails with `ERR_HANDLER`.
   */
  readonly answers: (message: In) => Id | undefined;
}

/**
 * Provides the common members of {@link RequestsInOrder} and {@link RequestsById}.
 *
 * @typeParam In - the received messages
 * @example
 * ```ts
 * const busy = (calls: Requests<unknown>): boolean => calls.pending > 100;
 * ```
 * @see {@link requests}
 */
export interface Requests<In> {
  /**
   * Emits the messages that answer no request. `events` completes or fails when the channel completes or fails. A
   * subscription to `events` also subscribes to the channel, so the channel's client dials and stays connected.
   *
   * If `events` has no subscriber, an event that arrives while a request is pending is dropped. If `events` has no
   * subscriber and no request is pending, events stay in the channel.
   *
   * @backpressure while `events` is held and no request is pending, the channel is held. While `events` is held and a
   * request is pending, up to 1,024 events and 1,048,576 bytes are buffered, so that the answer gets through. When one
   * of these limits is reached, the channel is held, and the request may time out. With a `timeout` of 0, reaching a
   * limit makes the connection fail with `ERR_OVERFLOW` instead
   * @example
   * ```ts
   * calls.events.subscribe({
   *   next: (event) => console.log(event),
   *   error: (error: unknown) => console.log(String(error)),
   * });
   * ```
   */
  readonly events: Flow<In>;
  /** The number of requests that have neither been answered nor rejected. */
  readonly pending: number;
}

/**
 * Sends requests on a channel whose peer answers the requests in the order in which they were sent.
 *
 * @typeParam In - the received messages
 * @typeParam Out - the sent messages
 * @example
 * ```ts
 * const time = async (clock: RequestsInOrder<string, string>): Promise<number> => Number(await clock.ask('time'));
 * ```
 * @see {@link requests}
 */
export interface RequestsInOrder<In, Out> extends Requests<In> {
  /**
   * Sends a request and returns its answer. Several requests can be pending at the same time.
   *
   * If the connection on which the request was sent ends, the promise rejects with the connection's error, or with
   * `ERR_CLOSED` after an orderly end. The request is not sent again, and it is unknown whether the peer has received
   * the request. With `reconnect`, a request of which no byte has been written stays pending, and is sent on the next
   * connection.
   *
   * If `maxPending` requests are pending or the channel is full, the promise rejects with `ERR_OVERFLOW`. If the
   * request cannot be encoded, the promise rejects with `ERR_FRAME_INVALID` or `ERR_FRAME_TOO_LONG`. A request that is
   * rejected with one of these errors is not sent.
   *
   * After `timeout` the promise rejects with `ERR_TIMEOUT_REQUEST`. The connection then fails with the same error,
   * because the next message can no longer be assigned to a request. A client with `reconnect` dials again.
   *
   * @param request - the message to send
   * @returns a promise of the answer. An unhandled rejection of this promise does not end the process
   * @example
   * ```ts
   * const [first, second] = await Promise.all([calls.ask('one'), calls.ask('two')]);
   * ```
   */
  ask(request: Out): Promise<In>;
}

/**
 * Sends requests on a channel whose peer puts the id of the request into each answer.
 *
 * @typeParam In - the received messages
 * @typeParam Out - the sent messages
 * @typeParam Id - the ids of the requests
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
   * Sends a request and returns the answer that has the request's id. Several requests can be pending at the same time.
   *
   * If the connection on which the request was sent ends, the promise rejects with the connection's error, or with
   * `ERR_CLOSED` after an orderly end. The request is not sent again, and it is unknown whether the peer has received
   * the request. With `reconnect`, a request of which no byte has been written stays pending, and is sent on the next
   * connection.
   *
   * The promise also rejects with one of the following errors. With each of these errors except `ERR_TIMEOUT_REQUEST`,
   * the request has not been sent.
   *
   * - `ERR_TIMEOUT_REQUEST`: no answer arrived within `timeout`. A later answer is dropped.
   * - `ERR_OVERFLOW`: `maxPending` requests are pending, or the channel is full.
   * - `ERR_FRAME_INVALID` or `ERR_FRAME_TOO_LONG`: the request cannot be encoded.
   * - `ERR_OPTION_INVALID`: the id is missing, belongs to a pending request, or belongs to a request that has timed out
   *   but may still be answered on its connection.
   *
   * @param request - the message to send
   * @param id - the id that `answers` returns for the answer; compared like the keys of a `Map`. Use each id for only
   * one request
   * @returns a promise of the answer. An unhandled rejection of this promise does not end the process
   * @example
   * ```ts
   * const answer = await calls.ask({ id: 7, method: 'time' }, 7);
   * ```
   */
  ask(request: Out, id: Id): Promise<In>;
}

/**
 * Matches answers to requests on a channel, for protocols in which one side asks and the other side answers.
 *
 * With the option `answers`, each answer names its request, and the answers may arrive in any order. An answer that no
 * pending request awaits is dropped. A message that names no request is an event.
 *
 * Without the option `answers`, each message answers the oldest pending request that was sent on the message's
 * connection. If no request is pending on that connection, the message is an event.
 *
 * The returned object subscribes to the channel only while a request is pending or the events have a subscriber. So a
 * client without other subscribers dials for the first request, and disconnects after the last answer. Calling
 * `client.open()`, or subscribing to the client or to the events, keeps the client connected.
 *
 * Call `requests` only once for a channel. On that channel, you may send other messages, but only messages that the
 * peer does not answer.
 *
 * Apart from timeouts, limits and the end of the connection, `requests` with `answers` is equivalent to:
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
 * @typeParam In - the received messages
 * @typeParam Out - the sent messages
 * @typeParam Id - the ids of the requests
 * @param channel - the `data` of a connection or a client, or another view of the same stream
 * @param options - see {@link RequestsByIdOptions}, and {@link RequestsOptions} if the answers arrive in order
 * @throws `ERR_OPTION_INVALID` for a bad option, or if `channel` is not a Channel
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
// TypeScript's error messages refer to the last overload, so the overload with `answers` comes last.
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
