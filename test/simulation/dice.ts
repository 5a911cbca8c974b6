import { seededRandom } from '../../src/testing/seeded-random.js';

/** The source of every random decision of a run. */
export class Dice {
  private readonly random: () => number;

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  /** Returns an integer between both bounds, inclusive. */
  int(least: number, most: number): number {
    return least + Math.floor(this.random() * (most - least + 1));
  }

  chance(share: number): boolean {
    return this.random() < share;
  }

  pick<const T extends readonly [unknown, ...unknown[]]>(values: T): T[number] {
    return values[Math.floor(this.random() * values.length)];
  }

  /** Returns an integer between both bounds, such that every order of magnitude is equally likely. */
  magnitude(least: number, most: number): number {
    return Math.round(Math.exp(Math.log(least) + this.random() * (Math.log(most) - Math.log(least))));
  }
}
