import type { Subscriber, TeardownLogic } from 'rxjs';
import { Flow, type Hold } from 'rxjs-sockets';
import { type FlowSource, Multicast } from '../../src/multicast.js';

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

  push(...values: T[]): this {
    this.waiting.push(...values);
    this.multicast.drain();
    return this;
  }

  /** Completes it once nothing waits any more. */
  complete(): this {
    this.ending = () => this.multicast.end();
    this.multicast.drain();
    return this;
  }

  /** Fails once nothing waits any more. */
  fail(error: unknown): this {
    this.ending = () => this.multicast.end(error);
    this.multicast.drain();
    return this;
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

  defer(work: () => void): void {
    queueMicrotask(work);
  }

  protected override _subscribe(subscriber: Subscriber<T>): TeardownLogic {
    return this.multicast.add(subscriber);
  }
}
