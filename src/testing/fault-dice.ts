import type { FaultRange } from './faults.js';
import { seededRandom } from './seeded-random.js';

/** Draws random numbers. The same seed and the same sequence give the same numbers. */
export class FaultDice {
  private readonly random: () => number;

  /**
   * @param sequence - numbers that are mixed into `seed`, for example the number of the connection and the number of
   * the direction
   */
  constructor(seed: number, ...sequence: readonly number[]) {
    let mixed = Math.imul(seed, 0x9e3779b1) ^ Math.floor(seed / 2 ** 32);
    for (const part of sequence) {
      mixed = Math.imul(mixed ^ (mixed >>> 15) ^ Math.imul(part + 1, 0x85ebca6b), 0xc2b2ae35);
    }
    this.random = seededRandom(mixed);
  }

  /**
   * If `range` is a number, returns that number. Otherwise, returns the minimum of the range plus a random integer, but
   * at most the maximum of the range.
   */
  draw(range: FaultRange): number {
    if (typeof range === 'number') return range;
    const [min, max] = range;
    return Math.min(max, min + Math.floor(this.random() * (Math.floor(max - min) + 1)));
  }

  /** Draws the offset of a fault. If `range` is undefined, the fault never occurs, so returns `Infinity`. */
  drawOffset(range: FaultRange | undefined): number {
    return range === undefined ? Infinity : this.draw(range);
  }
}

/** Counts the bytes that pass in one direction through all connections, to decide when a connection is cut. */
export class CutCounter {
  private readonly range: FaultRange | undefined;
  private readonly dice: FaultDice;
  private left: number;

  constructor(range: FaultRange | undefined, dice: FaultDice) {
    this.range = range;
    this.dice = dice;
    this.left = dice.drawOffset(range);
  }

  get bytesUntilCut(): number {
    return this.left;
  }

  /**
   * Counts bytes that have passed. Returns whether the connection is cut after these bytes.
   *
   * @param bytes - at most `bytesUntilCut`
   */
  count(bytes: number): boolean {
    this.left -= bytes;
    if (this.left > 0) return false;
    this.left = this.dice.drawOffset(this.range);
    return true;
  }
}
