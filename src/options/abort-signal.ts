import type { Address } from '../address/address.js';
import { SocketError } from '../errors/socket-error.js';

/**
 * Shares one listener on a signal among many clients and servers. Node prints a warning if a signal has more than ten
 * listeners.
 */
class AbortListeners {
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

const listeners = new WeakMap<AbortSignal, AbortListeners>();

/** Calls `listener` when `signal` is aborted. The returned function removes the listener. */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  const all = listeners.get(signal) ?? new AbortListeners(signal);
  listeners.set(signal, all);
  all.add(listener);
  return () => all.delete(listener);
}

/** Creates the error for a signal that was aborted (C29). */
export function abortError(aborted: AbortSignal, address?: Address): SocketError {
  return new SocketError('ERR_CLOSED', 'the signal was aborted', { address, cause: aborted.reason });
}
