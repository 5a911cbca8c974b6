import { concatMap, delay, from, of, type Subscription } from 'rxjs';
import type { Channel } from 'rxjs-sockets';
import type { Draft } from './message.js';
import type { World } from './world.js';

/** A sender that sends from time to time, in every possible way. */
export class Writing {
  private readonly world: World;
  private readonly name: string;
  private readonly channel: Channel<any, Buffer | Draft>;
  private readonly draft: (padding: number) => Draft;
  private readonly highWaterMark: number;
  private readonly largest: number;
  private readonly feeds = new Set<Subscription>();
  private readonly pause: number;
  private sends = 0;

  constructor(
    world: World,
    name: string,
    channel: Channel<any, Buffer | Draft>,
    draft: (padding: number) => Draft,
    highWaterMark: number,
  ) {
    this.world = world;
    this.name = name;
    this.channel = channel;
    this.draft = draft;
    this.highWaterMark = highWaterMark;
    this.largest = world.dice.pick(world.gentle ? [5, 50, 500, 5_000] : [5, 50, 50, 500, 500, 5_000, 70_000]);
    this.pause = world.dice.magnitude(30, 2_000);
  }

  start(): void {
    this.act();
  }

  stop(): void {
    for (const feed of this.feeds) feed.unsubscribe();
  }

  private act(): void {
    const { dice } = this.world;
    switch (dice.int(0, 4)) {
      case 0:
      case 1:
        for (let count = dice.magnitude(1, 20); count > 0; count--) this.channel.next(this.next());
        break;
      case 2:
        this.send(dice.magnitude(1, 10));
        break;
      case 3:
        this.feed();
        break;
      default:
        void this.sendAll(dice.magnitude(1, 10));
        break;
    }
    this.world.disturb(dice.magnitude(1, this.pause), () => this.act());
  }

  private next(): Draft {
    return this.draft(this.world.dice.int(0, this.largest));
  }

  private send(count: number): void {
    for (; count > 0; count--) {
      this.world.expectSettled(`${this.name}'s send ${++this.sends}`, this.channel.send(this.next()));
    }
  }

  /** Sends one value after another, and awaits each `send`. */
  private async sendAll(count: number): Promise<void> {
    try {
      for (; count > 0; count--) await this.channel.send(this.next());
    } catch (error) {
      this.world.failed(`${this.name}'s loop`, error);
    }
  }

  /** Asserts that values are pulled only while the channel is writable (C5). */
  private *paced(drafts: readonly Draft[]): Generator<Draft> {
    for (const draft of drafts) {
      const { bufferedBytes } = this.channel;
      if (bufferedBytes > this.highWaterMark) {
        this.world.findings.wrong('C5', `${this.name}'s feed is asked for more while ${bufferedBytes} bytes wait`);
      }
      yield draft;
    }
  }

  /** Sends from an iterable, an async iterable, or an Observable with or without delays. */
  private feed(): void {
    const { dice } = this.world;
    const count = dice.magnitude(1, 50);
    const drafts = Array.from({ length: count }, () => this.next());
    const slowly = dice.magnitude(1, 100);
    const source = dice.pick([
      () => this.paced(drafts),
      () => from(drafts),
      () => from(drafts).pipe(concatMap((draft) => of(draft).pipe(delay(slowly)))),
      () => onePerTurn(drafts),
    ])();
    const feed = this.channel.sendFrom(source).subscribe({
      complete: () => {
        // It is possible that `complete` runs during a reset. Only after the reset is it known whether a message was
        // cut off (K12).
        queueMicrotask(() => {
          const waiting = drafts.filter((draft) => draft.waits).length;
          if (waiting > 0)
            this.world.findings.wrong('C5', `${this.name}'s feed completed before ${waiting} were written`);
        });
      },
      error: (error: unknown) => {
        this.world.failed(`${this.name}'s feed`, error);
      },
    });
    this.feeds.add(feed);
    feed.add(() => this.feeds.delete(feed));
    if (dice.chance(0.2)) this.world.disturb(dice.magnitude(1, 500), () => feed.unsubscribe());
  }
}

async function* onePerTurn<T>(values: readonly T[]): AsyncGenerator<T> {
  for (const value of values) {
    await Promise.resolve();
    yield value;
  }
}
