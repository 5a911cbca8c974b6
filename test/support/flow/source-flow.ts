import type { Subscriber, TeardownLogic } from 'rxjs';
import { Flow, type Hold } from 'rxjs-sockets';
import { type FlowSource, Multicast } from '../../../src/flow/multicast.js';

/** A hot Flow that the test feeds: values wait in it while it is held or has no subscriber. */
export class SourceFlow<T> extends Flow<T> implements FlowSource<T> {
  /** Values that were pushed and not emitted. */
  readonly waiting: T[] = [];
  subscribed = false;
  private readonly multicast = new Multicast<T>(this);
  private ending: (() => void) | undefined;

  /** @param values - what waits in it at the beginning */
  constructor(...values: T[]) {
    super();
    this.waiting.push(...values);
  }

  /** Whether it is held. */
  get held(): boolean {
    return this.multicast.held;
  }

  /** Completes when `values` have been emitted. */
  static ending<T>(...values: T[]): SourceFlow<T> {
    const flow = new SourceFlow(...values);
    flow.complete();
    return flow;
  }

  /** Fails when `values` have been emitted. */
  static failing<T>(error: unknown, ...values: T[]): SourceFlow<T> {
    const flow = new SourceFlow(...values);
    flow.fail(error);
    return flow;
  }

  /** Adds values, and emits them if it may. */
  push(...values: T[]): void {
    this.waiting.push(...values);
    this.multicast.drain();
  }

  /** Completes it once nothing waits any more. */
  complete(): void {
    this.ending = () => this.multicast.end();
    this.multicast.drain();
  }

  /** Fails it once nothing waits any more. */
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
    // There is nothing to read.
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
