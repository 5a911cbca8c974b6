import type { Address } from '../address/address.js';
import { SocketError } from '../errors/socket-error.js';
import { invalid } from '../validation/validate.js';

/** What listens to one signal for all: a runtime warns of more than ten listeners, and one signal may end many clients. */
class Listeners {
  private readonly signal: AbortSignal;
  private readonly all = new Set<() => void>();

  constructor(signal: AbortSignal) {
    this.signal = signal;
    signal.addEventListener('abort', this.abort);
  }

  add(listener: () => void): void {
    this.all.add(listener);
  }

  delete(listener: () => void): void {
    this.all.delete(listener);
    if (this.all.size === 0) this.stop();
  }

  private readonly abort = (): void => {
    this.stop();
    for (const listener of this.all) listener();
  };

  private stop(): void {
    this.signal.removeEventListener('abort', this.abort);
    if (listeners.get(this.signal) === this) listeners.delete(this.signal);
  }
}

const listeners = new WeakMap<AbortSignal, Listeners>();

/** Has `listener` called when `signal` is aborted; gives what makes it stop. */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  const all = listeners.get(signal) ?? new Listeners(signal);
  listeners.set(signal, all);
  all.add(listener);
  return () => all.delete(listener);
}

/** Nothing begins under a signal that is aborted. */
export function signal(value: AbortSignal | undefined): AbortSignal | undefined {
  if (value !== undefined && !(value instanceof AbortSignal)) throw invalid('signal', value, 'an AbortSignal');
  if (value?.aborted === true) throw abortError(value);
  return value;
}

/** What a client ends with when its signal is aborted (C29). */
export function abortError(aborted: AbortSignal, address?: Address): SocketError {
  return new SocketError('ERR_CLOSED', 'signal: it was aborted', { address, cause: aborted.reason });
}
