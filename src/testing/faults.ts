import { type Check, type Checks, invalidOption, number, optional } from '../validation/checks.js';

/**
 * Sets the size of a fault: a fixed number, or a range from which random numbers are drawn. A range includes its
 * minimum and its maximum.
 *
 * @example
 * ```ts
 * const milliseconds: FaultRange = [5, 50];
 * ```
 * @see {@link Faults}
 */
export type FaultRange = number | readonly [min: number, max: number];

/**
 * Lists the faults of one direction of a {@link faulty} proxy. A fault that is omitted is not injected.
 *
 * If a fault has a range, a new number is drawn from the range for each connection. Three faults are exceptions. For
 * `latency` and `slices`, a new number is drawn for each piece of the stream. For `cutEvery`, a new number is drawn
 * after each cut. Offsets count the bytes of this direction, so it makes no difference how the bytes are split into
 * chunks.
 *
 * @example
 * ```ts
 * const bad: Faults = { latency: [5, 50], slices: [1, 10], resetAfter: [0, 100_000] };
 * ```
 * @see {@link faulty}
 */
export interface Faults {
  /**
   * The delay of each piece: at least 0 and less than 2³¹. Pieces never overtake each other.
   *
   * @defaultValue 0
   * @unit ms
   */
  readonly latency?: FaultRange | undefined;
  /**
   * The number of bytes that can pass in a second, more than 0.
   *
   * @defaultValue `undefined`: no limit
   * @unit bytes a second
   */
  readonly bandwidth?: number | undefined;
  /**
   * The size of the pieces that the stream is cut into, at least 1. Each piece is written in a turn of its own.
   *
   * @defaultValue `undefined`: the pieces are the chunks as they arrive
   * @unit bytes
   */
  readonly slices?: FaultRange | undefined;
  /**
   * The number of bytes that pass through a connection before this direction stops. After these bytes, nothing passes
   * in this direction, not even the end of the stream. The connection stays open.
   *
   * @defaultValue `undefined`: never
   * @unit bytes
   */
  readonly blackHoleAfter?: FaultRange | undefined;
  /**
   * How long this direction stays stopped after `blackHoleAfter`: at least 0 and less than 2³¹; 0 means no limit. At
   * the end of this time, the queued bytes pass.
   *
   * @defaultValue 0
   * @unit ms
   */
  readonly blackHoleFor?: FaultRange | undefined;
  /**
   * The delay of the FIN after the last byte: at least 0 and less than 2³¹.
   *
   * @defaultValue 0
   * @unit ms
   */
  readonly lateFin?: FaultRange | undefined;
  /**
   * The number of bytes that pass through a connection before both ends of the connection are reset.
   *
   * @defaultValue `undefined`: never
   * @unit bytes
   */
  readonly resetAfter?: FaultRange | undefined;
  /**
   * The number of bytes that pass through a connection before both ends of the connection are closed with a FIN.
   *
   * @defaultValue `undefined`: never
   * @unit bytes
   */
  readonly cutAfter?: FaultRange | undefined;
  /**
   * The number of bytes, at least 1, that pass through all connections together before one of the connections is closed
   * with a FIN. The connection that carries the last of these bytes is closed, and the count starts again.
   *
   * @defaultValue `undefined`: never
   * @unit bytes
   */
  readonly cutEvery?: FaultRange | undefined;
}

/**
 * Names a direction: `up` for bytes sent to the target, `down` for bytes sent by the target.
 *
 * @example
 * ```ts
 * const direction: FaultDirection = 'up';
 * ```
 * @see {@link faulty}
 */
export type FaultDirection = 'up' | 'down';

/**
 * Names a kind of fault. `cut` means `cutAfter` or `cutEvery`.
 *
 * @example
 * ```ts
 * const kind: FaultKind = 'blackHole';
 * ```
 * @see {@link InjectedFault}
 */
export type FaultKind = 'latency' | 'bandwidth' | 'slices' | 'blackHole' | 'lateFin' | 'reset' | 'cut';

/**
 * Describes a fault that was injected.
 *
 * @example
 * ```ts
 * const strike: InjectedFault = { fault: 'reset', connection: 2, direction: 'down', at: 1_432 };
 * ```
 * @see {@link Faulty.strikes}
 */
export interface InjectedFault {
  /** The kind of the fault. `latency`, `bandwidth` and `slices` are listed once for each connection and direction. */
  readonly fault: FaultKind;
  /** The connection's number. Connections are numbered from 1, in the order in which they were accepted. */
  readonly connection: number;
  /** The direction of the affected bytes. */
  readonly direction: FaultDirection;
  /** The number of bytes that passed through this connection, in this direction, before the fault. */
  readonly at: number;
}

const milliseconds = rangeOf('a number of milliseconds from 0 to under 2^31', (value) => value >= 0 && value < 2 ** 31);
const bytesFrom = (min: number): Check<FaultRange | undefined> =>
  rangeOf(`a whole number of bytes from ${min}`, (value) => Number.isSafeInteger(value) && value >= min);

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

function rangeOf(requirement: string, accepts: (value: number) => boolean): Check<FaultRange | undefined> {
  return optional((option, range) => {
    const [min, max, ...rest] = Array.isArray(range) ? (range as unknown[]) : [range, range];
    const isRange = typeof min === 'number' && typeof max === 'number' && rest.length === 0;
    if (isRange && accepts(min) && accepts(max) && min <= max) return range as FaultRange;
    throw invalidOption(option, `${requirement}, or a range [min, max]`, range);
  });
}
