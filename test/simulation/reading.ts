import {
  EMPTY,
  firstValueFrom,
  ignoreElements,
  type Observable,
  Subject,
  type Subscription,
  takeUntil,
  timer,
} from 'rxjs';
import { type Channel, type Hold, mergeMapPaced } from 'rxjs-sockets';
import { decodeMessage, type Message } from './message.js';
import type { World } from './world.js';

export type Manner = 'steady' | 'loose' | 'paced' | 'iterating' | 'single';

/**
 * A reader of a channel. Depending on its manner, it reads without a pause, sometimes holds or leaves, takes a few
 * values at a time, iterates with `for await`, or takes one value at a time.
 */
export class Reading {
  /** How the reader was notified of the end: `'complete'`, or the code of the error. */
  ended: string | undefined;
  started = false;
  /** When the reader was last subscribed: `Infinity` while it is subscribed, `-Infinity` if it never was. */
  readUntil = -Infinity;

  private readonly world: World;
  private readonly name: string;
  private readonly channel: Channel<Buffer, any>;
  private readonly manner: Manner;
  private readonly see: (message: Message) => void;
  private readonly onEnd: () => void;
  private subscription: Subscription | undefined;
  private holds: Hold[] = [];
  private stopped = false;
  private abandoned = false;
  private readonly stopping = new Subject<void>();
  private iterator: AsyncIterator<Buffer> | undefined;

  constructor(
    world: World,
    name: string,
    channel: Channel<Buffer, any>,
    manner: Manner,
    see: (message: Message) => void,
    onEnd: () => void = () => undefined,
  ) {
    this.world = world;
    this.name = name;
    this.channel = channel;
    this.manner = manner;
    this.see = see;
    this.onEnd = onEnd;
  }

  start(): void {
    if (this.started || this.stopped) return;
    this.started = true;
    switch (this.manner) {
      case 'steady':
        this.subscribe(this.channel);
        break;
      case 'loose':
        this.subscribe(this.channel);
        this.disturbLater();
        break;
      case 'paced':
        this.subscribe(this.paced());
        break;
      case 'iterating':
        void this.iterate();
        break;
      case 'single':
        void this.takeSingly();
        break;
    }
  }

  /** From now on, the reader stays subscribed and takes every message. */
  calm(): void {
    this.start();
    this.letGo();
    if (this.manner === 'loose' && this.subscription === undefined) this.subscribe(this.channel);
  }

  letGo(): void {
    for (const hold of this.holds.splice(0)) hold.release();
  }

  stop(): void {
    this.stopped = true;
    this.subscription?.unsubscribe();
    this.subscription = undefined;
    this.letGo();
    void this.iterator?.return?.();
    this.stopping.next();
    this.leave();
  }

  /**
   * Call when the client has ended. The reader then never subscribes again, because a new subscription would make the
   * client dial.
   */
  abandon(): void {
    this.abandoned = true;
    if (this.manner === 'iterating' || this.manner === 'single' || this.subscription === undefined) this.stop();
  }

  /** Whether this reader was started, and has neither been stopped nor been notified of the end. */
  get hangs(): boolean {
    return this.started && !this.stopped && this.ended === undefined;
  }

  private subscribe(source: Observable<Buffer>): void {
    if (this.stopped || this.ended !== undefined) return;
    let left = false;
    this.readUntil = Infinity;
    const subscription = source.subscribe({
      next: (bytes) => {
        if (left || this.ended !== undefined) this.wrong('F8', 'was given a message after its end');
        if (this.manner === 'loose' && this.holds.length > 0) this.wrong('F2', 'was given a message while it held');
        if (source === this.channel) this.take(bytes);
      },
      error: (error: unknown) => {
        this.end(this.world.failed(this.name, error));
      },
      complete: () => {
        this.end('complete');
      },
    });
    subscription.add(() => {
      left = true;
      this.leave();
    });
    this.subscription = this.ended === undefined ? subscription : undefined;
  }

  private paced(): Observable<Buffer> {
    const { dice, calmed } = this.world;
    const slow = dice.chance(0.5);
    const slowest = dice.magnitude(2, 2_000);
    return this.channel.pipe(
      mergeMapPaced(
        (bytes) => {
          this.take(bytes);
          if (calmed.value || !slow) return EMPTY;
          return timer(dice.int(0, slowest)).pipe(ignoreElements());
        },
        dice.pick([1, 1, 2, 5]),
      ),
    );
  }

  private disturbLater(): void {
    const { dice } = this.world;
    this.world.disturb(dice.magnitude(1, 3_000), () => {
      if (this.stopped || this.ended !== undefined) return;
      if (this.abandoned || dice.chance(0.6)) this.holdFor(dice.magnitude(1, 2_000));
      else this.leaveFor(dice.magnitude(1, 2_000));
      this.disturbLater();
    });
  }

  private holdFor(time: number): void {
    const hold = this.channel.hold();
    this.holds.push(hold);
    this.world.disturb(time, () => {
      // The Hold is removed from `holds` first, because values can be emitted during the call of `release`. The second
      // `release` must have no effect.
      this.holds = this.holds.filter((other) => other !== hold);
      hold.release();
      hold.release();
    });
  }

  private leaveFor(time: number): void {
    this.subscription?.unsubscribe();
    this.subscription = undefined;
    this.world.disturb(time, () => {
      if (this.subscription === undefined) this.subscribe(this.channel);
    });
  }

  private async iterate(): Promise<void> {
    const { dice, calmed } = this.world;
    const slowest = dice.magnitude(2, 2_000);
    try {
      while (!this.stopped) {
        const iterator = this.channel[Symbol.asyncIterator]();
        this.iterator = iterator;
        const breakAfter = dice.magnitude(1, 200);
        for (let count = 0; count < breakAfter && !this.stopped; count++) {
          this.readUntil = Infinity;
          const result = await iterator.next();
          if (result.done === true) {
            if (!this.isStopped) this.end('complete');
            return;
          }
          this.take(result.value);
          if (!calmed.value && dice.chance(0.3)) await this.pause(dice.int(1, slowest));
        }
        await iterator.return?.();
        this.leave();
      }
    } catch (error) {
      this.end(this.world.failed(this.name, error));
    }
  }

  private async takeSingly(): Promise<void> {
    const { dice, calmed } = this.world;
    const none = Symbol('none');
    try {
      while (!this.stopped) {
        this.readUntil = Infinity;
        const bytes = await firstValueFrom(this.channel.pipe(takeUntil(this.stopping)), { defaultValue: none });
        this.leave();
        if (typeof bytes === 'symbol') {
          if (!this.isStopped) this.end('complete');
          return;
        }
        this.take(bytes);
        if (!calmed.value && dice.chance(0.3)) await this.pause(dice.magnitude(1, 500));
      }
    } catch (error) {
      this.end(this.world.failed(this.name, error));
    }
  }

  /** A getter, because the compiler assumes that a property does not change during an await. */
  private get isStopped(): boolean {
    return this.stopped;
  }

  private pause(time: number): Promise<void> {
    return new Promise((resolve) => this.world.after(time, resolve));
  }

  private take(bytes: Buffer): void {
    this.see(decodeMessage(bytes));
  }

  /** Call when the reader is no longer subscribed. */
  private leave(): void {
    if (this.readUntil === Infinity) this.readUntil = Date.now();
  }

  private end(how: string): void {
    this.leave();
    if (this.ended !== undefined) this.wrong('F8', `got its end twice: ${this.ended}, then ${how}`);
    this.ended = how;
    this.subscription = undefined;
    this.world.findings.note(() => `${this.name} has ended: ${how}`);
    this.onEnd();
  }

  private wrong(rule: string, what: string): void {
    this.world.findings.wrong(rule, `${this.name} ${what}`);
  }
}
