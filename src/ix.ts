/**
 * The Flow for people who compose with ix: the one module that loads it.
 *
 * @module rxjs-sockets/ix
 */
import { AsyncIterableX } from 'ix/asynciterable';
import type { Flow } from './flow.js';

export function pull<T>(flow: Flow<T>): AsyncIterableX<T> {
  return new PulledFlow(flow);
}

class PulledFlow<T> extends AsyncIterableX<T> {
  private readonly flow: Flow<T>;

  constructor(flow: Flow<T>) {
    super();
    this.flow = flow;
  }

  override [Symbol.asyncIterator](): AsyncIterator<T> {
    return this.flow[Symbol.asyncIterator]();
  }
}
