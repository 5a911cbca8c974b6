import type { SocketError } from '../errors/socket-error.js';
import type { SessionState, Shown } from './session-state.js';

/** What happens to a client. */
export type SessionEvent<C, R, W> =
  | { readonly type: 'watch' | 'unwatch'; readonly watcher: W }
  | { readonly type: 'read' | 'unread'; readonly reader: R }
  /** A reader has left, and its connection knows. */
  | { readonly type: 'detached' }
  /** The watchers and readers of a run have got its end. */
  | { readonly type: 'subscribersEnded' }
  /** The socket is there, and `prepare` begins. */
  | { readonly type: 'opened'; readonly dial: number }
  /** The socket is there, and prepared where that is asked for. */
  | { readonly type: 'ready'; readonly dial: number; readonly connection: C }
  | { readonly type: 'attemptFailed'; readonly dial: number; readonly error: SocketError; readonly isFinal: boolean }
  /** A connection ends its sending side, because of `error` or in order. */
  | { readonly type: 'finishing'; readonly connection: C; readonly error?: SocketError | undefined }
  /** A connection is gone. `uptime` is how long it was up, in ms. */
  | {
      readonly type: 'closed';
      readonly connection: C;
      readonly error?: SocketError | undefined;
      readonly uptime: number;
    }
  /** The watchers know of the lost connection. */
  | { readonly type: 'announced'; readonly dial: number }
  | { readonly type: 'waits'; readonly dial: number; readonly delay: number }
  | { readonly type: 'due' | 'policyEnded'; readonly dial: number }
  | { readonly type: 'policyFailed'; readonly dial: number; readonly error: SocketError }
  /** A reader has emitted all that the connection had which is read. */
  | { readonly type: 'streamEnded'; readonly reader: R; readonly end: 'fin' | SocketError }
  /** A frame can't be decoded. */
  | { readonly type: 'corrupted'; readonly error: SocketError }
  /** The same, once the connection knows. */
  | { readonly type: 'streamBroken'; readonly connection: C; readonly error: SocketError }
  /** A reader is about to be given its end. `error` is what ended the sending side of the connection that is read. */
  | { readonly type: 'concluded'; readonly reader: R; readonly error?: SocketError | undefined }
  /** This side fails the client: with a value that can't be sent, or one too many. */
  | { readonly type: 'failed'; readonly error: SocketError }
  /** The user destroys the client. */
  | { readonly type: 'destroyed'; readonly error: SocketError; readonly reason: unknown };

/** What a driver does. An action that may call a subscriber comes after those that call nobody. */
export type SessionAction<C, R, W> =
  /** Begin an attempt. */
  | { readonly do: 'dial' }
  /** Abort the attempt or the wait under way. */
  | { readonly do: 'abort' }
  /** The attempt has succeeded: its timeout ends. */
  | { readonly do: 'endAttempt' }
  /** Wait as the policy says for the attempt after `retries` others in a row. */
  | { readonly do: 'wait'; readonly retries: number; readonly error: SocketError | undefined }
  | { readonly do: 'watchSignal' | 'ignoreSignal' }
  | { readonly do: 'publish'; readonly watchers: readonly W[]; readonly shown: Shown<C> }
  /** Give each watcher `last`, if there is one, and then the end. */
  | {
      readonly do: 'endWatchers';
      readonly watchers: readonly W[];
      readonly error: SocketError | undefined;
      readonly last: Shown<C> | undefined;
    }
  | { readonly do: 'endReaders'; readonly readers: readonly R[]; readonly error: SocketError | undefined }
  /** What is sent from now on waits for the next run. */
  | { readonly do: 'renewOutput' }
  /** What waits on the output that was just replaced fails, with `error` or because the client has ended or was left. */
  | { readonly do: 'failReplacedOutput'; readonly error: SocketError | 'ended' | 'left' }
  | { readonly do: 'failOutput'; readonly error: SocketError }
  /** A `send` waits until the client is connected (K9). */
  | { readonly do: 'expectConnection' }
  /** `whileDisconnected` acts on what is sent (K13). */
  | { readonly do: 'parkOutput' }
  /** What is sent goes to `connection`, what waits first (C2). */
  | { readonly do: 'adopt'; readonly connection: C }
  /** What waits to be sent leaves `connection`, and waits for the next one (K4). */
  | { readonly do: 'retire'; readonly connection: C }
  | { readonly do: 'open' | 'block' | 'close'; readonly connection: C }
  | { readonly do: 'fail' | 'corrupt'; readonly connection: C; readonly error: SocketError }
  | { readonly do: 'destroy'; readonly connection: C; readonly reason: unknown }
  | { readonly do: 'attach'; readonly connection: C; readonly readers: readonly R[] }
  | { readonly do: 'detach'; readonly connection: C; readonly reader: R }
  /** The readers go on from one connection to the next, or wait for one. */
  | { readonly do: 'readNext'; readonly from: C; readonly to: C | undefined; readonly readers: readonly R[] }
  /** The reader gets the end of the connection. */
  | { readonly do: 'endStream'; readonly connection: C; readonly reader: R; readonly end: 'fin' | SocketError }
  /** What is left will never be a whole frame. */
  | { readonly do: 'dropRest'; readonly connection: C; readonly reader: R }
  /** Requests that were sent on the connection get no answer any more (K21). */
  | { readonly do: 'reportStreamEnd'; readonly connection: C; readonly end: 'fin' | SocketError }
  /** Another event follows, once the actions before it are done. */
  | { readonly do: 'continue'; readonly event: SessionEvent<C, R, W> };

/** What an event leads to. */
export interface Step<C, R, W, S = SessionState<C, R, W>> {
  readonly state: S;
  readonly actions: readonly SessionAction<C, R, W>[];
}

/** The event leads to `state`, and to nothing else. */
export function unchanged<C, R, W, S extends SessionState<C, R, W>>(state: S): Step<C, R, W, S> {
  return { state, actions: [] };
}

/** `next` follows within the same event. */
export function then<C, R, W>(
  first: Step<C, R, W>,
  next: (state: SessionState<C, R, W>) => Step<C, R, W>,
): Step<C, R, W> {
  const second = next(first.state);
  return { state: second.state, actions: [...first.actions, ...second.actions] };
}
