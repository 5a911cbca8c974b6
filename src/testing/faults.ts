import { type Check, type Checks, invalidOption, number, optional } from '../validation/checks.js';
import { seededRandom } from './seeded-random.js';

/**
 * Tells how large a fault is: a fixed number, or the least and the most that one is drawn from, both included.
 *
 * @example
 * ```ts
 * const milliseconds: FaultRange = [5, 50];
 * ```
 * @see {@link Faults}
 */
export type FaultRange = number | readonly [least: number, most: number];

/**
 * Lists what befalls the bytes that pass in one direction of {@link faulty}; what is left out does not befall them.
 *
 * A range is drawn from for each connection, except for `latency` and `slices`, which are drawn for each piece of the
 * stream. Offsets count the bytes of this direction, so that the same ones are struck however they arrive.
 *
 * @example
 * ```ts
 * const bad: Faults = { latency: [5, 50], slices: [1, 10], resetAfter: [0, 100_000] };
 * ```
 * @see {@link faulty}
 */
export interface Faults {
  /** How long a piece is on its way, in ms from 0 to under 2³¹; pieces never overtake each other. Default 0. */
  readonly latency?: FaultRange | undefined;
  /** How many bytes pass in a second, over 0. Default: as many as may. */
  readonly bandwidth?: number | undefined;
  /** Into pieces of how many bytes the stream is cut, from 1, each written in a turn of its own. Default: as it comes. */
  readonly slices?: FaultRange | undefined;
  /** After how many bytes of a connection nothing passes any more, not even its end; the connection stays. Default never. */
  readonly blackHoleAfter?: FaultRange | undefined;
  /** How long the black hole lasts, in ms from 0 (for good) to under 2³¹; then all passes that waited. Default 0. */
  readonly blackHoleFor?: FaultRange | undefined;
  /** How much later than the last byte the FIN passes, in ms from 0 to under 2³¹. Default 0. */
  readonly lateFin?: FaultRange | undefined;
  /** After how many bytes of a connection both its ends are reset. Default never. */
  readonly resetAfter?: FaultRange | undefined;
  /** After how many bytes of a connection both its ends are closed, with a FIN. Default never. */
  readonly cutAfter?: FaultRange | undefined;
  /** After how many bytes, from 1, counted over all connections, the one that carries them is cut as above. Default never. */
  readonly cutEvery?: FaultRange | undefined;
}

/**
 * Tells which way bytes pass: `up` to the target, `down` from it.
 *
 * @example
 * ```ts
 * const direction: FaultDirection = 'up';
 * ```
 * @see {@link faulty}
 */
export type FaultDirection = 'up' | 'down';

/**
 * Names what can have struck; `cut` stands for `cutAfter` and `cutEvery`.
 *
 * @example
 * ```ts
 * const kind: FaultKind = 'blackHole';
 * ```
 * @see {@link InjectedFault}
 */
export type FaultKind = 'latency' | 'bandwidth' | 'slices' | 'blackHole' | 'lateFin' | 'reset' | 'cut';

const milliseconds = rangeOf('milliseconds from 0 to under 2^31', (value) => value >= 0 && value < 2 ** 31);
const bytesFrom = (least: number): Check<FaultRange | undefined> =>
  rangeOf(`a whole number of bytes from ${least}`, (value) => Number.isSafeInteger(value) && value >= least);

/** The checks of the faults of one direction (A5). */
export const faultChecks: Checks<Faults> = {
  latency: milliseconds,
  bandwidth: optional(number('a number of bytes a second over 0', (value) => value > 0 && value < Infinity)),
  slices: bytesFrom(1),
  blackHoleAfter: bytesFrom(0),
  blackHoleFor: milliseconds,
  lateFin: milliseconds,
  resetAfter: bytesFrom(0),
  cutAfter: bytesFrom(0),
  cutEvery: bytesFrom(1),
};

/** Draws the numbers of one stream of faults: the same for the same seed and stream. */
export class FaultDice {
  private readonly random: () => number;

  constructor(seed: number, ...stream: readonly number[]) {
    let mixed = Math.imul(seed, 0x9e3779b1) ^ Math.floor(seed / 2 ** 32);
    for (const part of stream) mixed = Math.imul(mixed ^ (mixed >>> 15) ^ Math.imul(part + 1, 0x85ebca6b), 0xc2b2ae35);
    this.random = seededRandom(mixed);
  }

  /** A whole number of the range. */
  draw(range: FaultRange): number {
    if (typeof range === 'number') return range;
    const [least, most] = range;
    return Math.min(most, least + Math.floor(this.random() * (Math.floor(most - least) + 1)));
  }

  /** As {@link draw}; `Infinity` where there is no such fault. */
  drawOffset(range: FaultRange | undefined): number {
    return range === undefined ? Infinity : this.draw(range);
  }
}

/** Cuts after every so many bytes of one direction, over all connections. */
export class CutCounter {
  private readonly range: FaultRange | undefined;
  private readonly dice: FaultDice;
  private left: number;

  constructor(range: FaultRange | undefined, dice: FaultDice) {
    this.range = range;
    this.dice = dice;
    this.left = dice.drawOffset(range);
  }

  /** How many bytes may pass before the next cut. */
  get room(): number {
    return this.left;
  }

  /** Counts bytes that pass, at most `room`; tells whether the connection is cut after them. */
  count(bytes: number): boolean {
    this.left -= bytes;
    if (this.left > 0) return false;
    this.left = this.dice.drawOffset(this.range);
    return true;
  }
}

/** Checks a {@link FaultRange} whose numbers `accepts` is true for. */
function rangeOf(requirement: string, accepts: (value: number) => boolean): Check<FaultRange | undefined> {
  return optional((option, range) => {
    const [least, most, ...rest] = Array.isArray(range) ? (range as unknown[]) : [range, range];
    const isRange = typeof least === 'number' && typeof most === 'number' && rest.length === 0;
    if (isRange && accepts(least) && accepts(most) && least <= most) return range as FaultRange;
    throw invalidOption(option, `${requirement}, or [least, most] of such`, range);
  });
}
