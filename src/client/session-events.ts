import type { SocketError } from '../errors/socket-error.js';
import type { Shown } from './session-phases.js';

/**
 * An input of the client's state machine, `reduce`. Most events about readers are named after methods of `ChannelHost`.
 */
export type SessionEvent<C, R, W> =
  | { readonly type: 'watch' | 'unwatch'; readonly watcher: W }
  | { readonly type: 'observed' | 'unobserved'; readonly reader: R }
  /** A reader has been detached from its connection. */
  | { readonly type: 'readerLeft' }
  /** The watchers have been notified that their run has ended. */
  | { readonly type: 'subscribersEnded' }
  /** The socket is connected, and `prepare` is about to be called. */
  | { readonly type: 'opened'; readonly dial: number }
  /** The connection can be used: its socket is connected, and the option `prepare`, if set, has completed. */
  | { readonly type: 'ready'; readonly dial: number; readonly connection: C }
  | { readonly type: 'attemptFailed'; readonly dial: number; readonly error: SocketError; readonly isFinal: boolean }
  /** A connection is about to end its sending side. `error` is set if the connection has failed. */
  | { readonly type: 'finishing'; readonly connection: C; readonly error?: SocketError | undefined }
  /** A connection has closed, `uptime` ms after the client became `connected`. */
  | {
      readonly type: 'closed';
      readonly connection: C;
      readonly error?: SocketError | undefined;
      readonly uptime: number;
    }
  /** The watchers have been notified that the attempt has failed or that the connection has ended. */
  | { readonly type: 'announced'; readonly dial: number }
  | { readonly type: 'waits'; readonly dial: number; readonly delay: number }
  | { readonly type: 'due' | 'policyEnded'; readonly dial: number }
  | { readonly type: 'policyFailed'; readonly dial: number; readonly error: SocketError }
  | { readonly type: 'readerDrained'; readonly reader: R; readonly end: 'fin' | SocketError }
  | { readonly type: 'badFrame'; readonly error: SocketError }
  | { readonly type: 'badFrameHandled'; readonly connection: C; readonly error: SocketError }
  /**
   * A reader is about to be notified that its stream has ended. `error` is set if sending on the reader's connection
   * has failed.
   */
  | { readonly type: 'readerEnding'; readonly reader: R; readonly error?: SocketError | undefined }
  /** This side fails the client, for example because a value cannot be encoded or exceeds `maxBuffered`. */
  | { readonly type: 'failed'; readonly error: SocketError }
  | { readonly type: 'destroyed'; readonly error: SocketError; readonly reason: unknown };

/**
 * The reason why queued values fail: an error, the end of the client (`'ended'`), or the loss of the client's last
 * subscriber (`'left'`).
 */
export type OutputFailure = SocketError | 'ended' | 'left';

/**
 * An action that the state machine returns and `Session` performs.
 *
 * Actions that can call a subscriber come last in a step. A called subscriber can cause another event. That event can
 * change the state, and make a later action of the step obsolete: see `isOvertaken`.
 */
export type SessionAction<C, R, W> =
  | { readonly do: 'dial'; readonly dial: number }
  /** Stop the timeout of the attempt, which has succeeded. */
  | { readonly do: 'endAttempt' }
  /**
   * Ask the policy how long to wait after attempt number `dial`. `retries` is the number of consecutive retries,
   * including the next retry.
   */
  | { readonly do: 'wait'; readonly dial: number; readonly retries: number; readonly error: SocketError | undefined }
  | { readonly do: 'watchSignal' | 'ignoreSignal' }
  | { readonly do: 'publish'; readonly watchers: readonly W[]; readonly shown: Shown<C> }
  /** Publish `last`, if it is set, to all watchers. Then notify each watcher of the end. */
  | {
      readonly do: 'endWatchers';
      readonly watchers: readonly W[];
      readonly error: SocketError | undefined;
      readonly last: Shown<C> | undefined;
    }
  | { readonly do: 'endReaders'; readonly readers: readonly R[]; readonly error: SocketError | undefined }
  /** Queue further values for the next run. With `failure`, the values queued so far fail. */
  | { readonly do: 'replaceOutput'; readonly failure?: OutputFailure | undefined }
  /**
   * Like `replaceOutput`, but abort the current attempt, or the wait for the next attempt, before the queued values
   * fail.
   */
  | { readonly do: 'abandonAttempt'; readonly failure: OutputFailure }
  | { readonly do: 'failOutput'; readonly error: SocketError }
  /** Let a `send` settle only when the client is connected (K9). */
  | { readonly do: 'expectConnection' }
  /** Treat further values as `whileDisconnected` says (K13). */
  | { readonly do: 'parkOutput' }
  /** Send the queued values on `connection`, and all later values after them (C2). */
  | { readonly do: 'adopt'; readonly connection: C }
  /** Take the unsent values from `connection`, and queue them for the next connection (K4). */
  | { readonly do: 'retire'; readonly connection: C }
  | { readonly do: 'open' | 'block' | 'close'; readonly connection: C }
  | { readonly do: 'fail'; readonly connection: C; readonly error: SocketError }
  | { readonly do: 'destroy'; readonly connection: C; readonly reason: unknown }
  | { readonly do: 'attach'; readonly connection: C; readonly readers: readonly R[] }
  | { readonly do: 'detach'; readonly connection: C; readonly reader: R }
  /** Move the readers from the connection `from` to `to`. Without `to`, the readers wait for the next connection. */
  | { readonly do: 'readNext'; readonly from: C; readonly to: C | undefined; readonly readers: readonly R[] }
  /** Let the connection end a reader that has emitted everything received. */
  | { readonly do: 'forwardDrained'; readonly connection: C; readonly reader: R; readonly end: 'fin' | SocketError }
  | { readonly do: 'forwardBadFrame'; readonly connection: C; readonly error: SocketError }
  /** Drop the bytes of an unfinished frame, and detach the reader. */
  | { readonly do: 'dropRest'; readonly connection: C; readonly reader: R }
  /** Notify the requests sent on the connection that they will get no answer (K21). */
  | { readonly do: 'reportStreamEnd'; readonly connection: C; readonly end: 'fin' | SocketError }
  /** Handle `event` after the preceding actions. */
  | { readonly do: 'continue'; readonly event: SessionEvent<C, R, W> };
