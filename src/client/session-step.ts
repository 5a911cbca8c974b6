import type { SessionAction } from './session-events.js';
import type { EveryState, Idle, Running, SessionState } from './session-phases.js';

export interface Step<C, R, W> {
  readonly state: SessionState<C, R, W>;
  readonly actions: readonly SessionAction<C, R, W>[];
}

export function unchanged<C, R, W>(state: SessionState<C, R, W>): Step<C, R, W> {
  return { state, actions: [] };
}

/** A step to `state` that also queues further values for the next run. */
export function renewed<C, R, W>(state: SessionState<C, R, W>): Step<C, R, W> {
  return { state, actions: [{ do: 'replaceOutput' }] };
}

/** A step to `state` that also publishes `state.shown`. */
export function show<C, R, W>(state: Running<C, R, W>): Step<C, R, W> {
  return { state, actions: [{ do: 'publish', watchers: state.watchers, shown: state.shown }] };
}

// Not named `then`: a module that exports `then` is a thenable, so it cannot be imported dynamically.
export function andThen<C, R, W>(
  first: Step<C, R, W>,
  next: (state: SessionState<C, R, W>) => Step<C, R, W>,
): Step<C, R, W> {
  const second = next(first.state);
  return { state: second.state, actions: [...first.actions, ...second.actions] };
}

export function idle<C, R, W>(state: EveryState<C, R, W>, sending: Idle<C, R, W>['sending']): Idle<C, R, W> {
  return { ...everyState(state), phase: 'idle', sending };
}

/** Returns the fields that a state has in every phase. */
export function everyState<C, R, W>(state: EveryState<C, R, W>): EveryState<C, R, W> {
  const { address, limits, watchers, readers, toRead, dials } = state;
  return { address, limits, watchers, readers, toRead, dials };
}

export function isWanted<C, R, W>({ watchers, readers }: SessionState<C, R, W>): boolean {
  return watchers.length + readers.length > 0;
}

/** Whether `event` belongs to the current attempt. */
export function isOf(state: { readonly dials: number }, event: { readonly dial: number }): boolean {
  return state.dials === event.dial;
}

export function without<T>(all: readonly T[], one: T): readonly T[] {
  return all.filter((other) => other !== one);
}
