import type { Subscriber, TeardownLogic } from 'rxjs';
import { Flow, type Hold } from 'rxjs-sockets';
import { type FlowSource, Multicast } from '../../../src/flow/multicast.js';

/** A hot Flow that the test feeds: values wait in it while it is held or nobody is subscribed. */
export class SourceFlow<T> extends Flow<T> implements FlowSource<T> {
  /** What was pushed and not emitted. */
  readonly waiting: T[] = [];
  subscribed = false;
  private readonly multicast = new Multicast<T>(this);
  private ending: (() => void) | undefined;

  /** @param values - what waits in it from the beginning */
  constructor(...values: T[]) {
    super();
    this.waiting.push(...values);
  }

  /** Whether somebody holds it. */
  get held(): boolean {
    return this.multicast.held;
  }

  /** One that completes when `values` have been emitted. */
  static ending<T>(...values: T[]): SourceFlow<T> {
    const flow = new SourceFlow(...values);
    flow.complete();
    return flow;
  }

  /** One that fails when `values` have been emitted. */
  static failing<T>(error: unknown, ...values: T[]): SourceFlow<T> {
    const flow = new SourceFlow(...values);
    flow.fail(error);
    return flow;
  }

  /** Adds values and emits what may be emitted. */
  push(...values: T[]): void {
    this.waiting.push(...values);
    this.multicast.drain();
  }

  /** Completes it once nothing waits any more. */
  complete(): void {
    this.ending = () => this.multicast.end();
    this.multicast.drain();
  }

  /** Fails once nothing waits any more. */
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

  toggled(): void {
    // Nothing is read for it.
  }

  ended(): void {
    // nothing to do
  }

  defer(work: () => void): void {
    queueMicrotask(work);
  }

  protected override _subscribe(subscriber: Subscriber<T>): TeardownLogic {
    return this.multicast.add(subscriber);
  }
}
