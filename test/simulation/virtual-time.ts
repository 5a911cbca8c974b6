/** The globals that are replaced during a run. */
const real = { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, now: Date.now, random: Math.random };

interface Timer {
  readonly id: number;
  readonly every: number | undefined;
  readonly work: () => void;
  due: number;
  live: boolean;
}

/**
 * A clock that advances only in `step`. The clock fires the timers, and microtasks run as usual. So everything that is
 * due at an instant happens before the next instant. Unlike TestScheduler.run, the clock also works with promises.
 */
export class VirtualTime {
  /** The current time in ms. */
  now = 1_000_000;
  /** How many timers have fired. */
  fired = 0;
  pending = 0;

  private readonly seed: number;
  private readonly heap: Timer[] = [];
  private lastId = 0;

  constructor(seed: number) {
    this.seed = seed;
  }

  /** Replaces the timers, the date and `Math.random` of this process. Returns a function that restores them. */
  install(): () => void {
    const set = (work: () => void, delay: number | undefined, repeats: boolean): Timer => {
      const time = Math.max(1, Math.floor(delay ?? 0));
      const timer = { id: ++this.lastId, every: repeats ? time : undefined, work, due: this.now + time, live: true };
      this.pending++;
      this.add(timer);
      return timer;
    };
    const clear = (timer: Timer | undefined): void => {
      if (timer?.live !== true) return;
      timer.live = false;
      this.pending--;
    };
    Object.assign(globalThis, {
      setTimeout: (work: () => void, delay?: number) => set(work, delay, false),
      setInterval: (work: () => void, delay?: number) => set(work, delay, true),
      clearTimeout: clear,
      clearInterval: clear,
    });
    Date.now = () => this.now;
    // The value depends only on the seed, the time and the number of fired timers, not on earlier calls.
    Math.random = () => fraction(this.seed, this.now, this.fired);
    return () => {
      const { setTimeout, clearTimeout, setInterval, clearInterval } = real;
      Object.assign(globalThis, { setTimeout, clearTimeout, setInterval, clearInterval });
      Date.now = real.now;
      Math.random = real.random;
    };
  }

  /** Lets the pending microtasks run, without advancing the clock. */
  settle(): Promise<void> {
    return new Promise((resolve) => real.setImmediate(resolve));
  }

  /** Fires the next timer, unless it is due after `until`. Returns whether a timer fired. */
  step(until: number): boolean {
    const timer = this.first();
    if (timer === undefined || timer.due > until) {
      this.now = Math.max(this.now, Math.min(until, timer?.due ?? until));
      return false;
    }
    this.remove();
    this.now = Math.max(this.now, timer.due);
    this.fired++;
    if (timer.every === undefined) {
      timer.live = false;
      this.pending--;
    } else {
      timer.due = this.now + timer.every;
      this.add(timer);
    }
    timer.work();
    return true;
  }

  private first(): Timer | undefined {
    while (this.heap[0]?.live === false) this.remove();
    return this.heap[0];
  }

  private add(timer: Timer): void {
    const { heap } = this;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(timer, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = timer;
  }

  private remove(): void {
    const { heap } = this;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.due < b.due || (a.due === b.due && a.id < b.id);
}

function fraction(...parts: readonly number[]): number {
  let mixed = 0x9e3779b9;
  for (const part of parts) {
    mixed = Math.imul(mixed ^ (part | 0) ^ Math.floor(part / 2 ** 32), 0x85ebca6b);
    mixed ^= mixed >>> 15;
  }
  return (mixed >>> 0) / 2 ** 32;
}
