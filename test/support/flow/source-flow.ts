import type { Subscriber, TeardownLogic } from 'rxjs';
import { Flow, type Hold } from 'rxjs-sockets';
import { type FlowSource, Multicast } from '../../../src/flow/multicast.js';

/** A hot Flow that the test feeds. It buffers values while it is held or has no subscriber. */
export class SourceFlow<T> extends Flow<T> implements FlowSource<T> {
  /** Values that were pushed but not yet emitted. */
  readonly waiting: T[] = [];
  subscribed = false;
  private readonly multicast = new Multicast<T>(this);
  private ending: (() => void) | undefined;

  /** @param values - the values that are buffered at the beginning */
  constructor(...values: T[]) {
    super();
    this.waiting.push(...values);
  }

  get held(): boolean {
    return this.multicast.held;
  }

  /** Returns a Flow that completes when `values` have been emitted. */
  static ending<T>(...values: T[]): SourceFlow<T> {
    const flow = new SourceFlow(...values);
    flow.complete();
    return flow;
  }

  /** Returns a Flow that fails when `values` have been emitted. */
  static failing<T>(error: unknown, ...values: T[]): SourceFlow<T> {
    const flow = new SourceFlow(...values);
    flow.fail(error);
    return flow;
  }

  push(...values: T[]): void {
    this.waiting.push(...values);
    this.multicast.drain();
  }

  /** Completes the Flow once every pushed value has been emitted. */
  complete(): void {
    this.ending = () => this.multicast.end();
    this.multicast.drain();
  }

  /** Fails the Flow once every pushed value has been emitted. */
  fail(error: unknown): void {
    this.ending = () => this.multicast.end(error);
    this.multicast.drain();
  }

  override hold(): Hold {
    return this.multicast.hold();
  }

  take(): T | undefined {
    const value = this.waiting.shift();
    if (value === undefined) this.ending?.();
    return value;
  }

  started(): void {
    this.subscribed = true;
  }

  stopped(): void {
    this.subscribed = false;
  }

  heldChanged(): void {
    // This source reads nothing.
  }

  ended(): void {
    // Nothing to do.
  }

  defer(work: () => void): void {
    queueMicrotask(work);
  }

  protected override _subscribe(subscriber: Subscriber<T>): TeardownLogic {
    return this.multicast.add(subscriber);
  }
}
