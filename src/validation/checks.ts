import { describeValue } from '../errors/describe-value.js';
import { SocketError, type SocketErrorCode } from '../errors/socket-error.js';

/**
 * Checks the value of an option and returns it.
 *
 * @throws `ERR_OPTION_INVALID`: `OPTION must be REQUIREMENT, got VALUE`
 */
export type Check<T> = (option: string, value: unknown) => T;

/** A check for each option. */
export type Checks<T> = { readonly [Name in keyof T]-?: Check<T[Name]> };

/** `undefined` stands for `defaultValue`. */
export function withDefault<T>(check: Check<T>, defaultValue: T): Check<T> {
  return (option, value) => (value === undefined ? defaultValue : check(option, value));
}

/** `undefined` is allowed. */
export function optional<T>(check: Check<T>): Check<T | undefined> {
  return (option, value) => (value === undefined ? undefined : check(option, value));
}

/** A number for which `accepts` is true. */
export function number(requirement: string, accepts: (value: number) => boolean): Check<number> {
  return (option, value) => {
    if (typeof value === 'number' && accepts(value)) return value;
    throw invalidOption(option, requirement, value);
  };
}

/** An integer from `min` to `max`; `noun` names it in errors. */
export function integer(min: number, max: number, noun = 'an integer'): Check<number> {
  const range = max < Number.MAX_SAFE_INTEGER ? `from ${min} to ${max}` : `from ${min}`;
  return number(`${noun} ${range}`, (value) => Number.isSafeInteger(value) && value >= min && value <= max);
}

/** A number of milliseconds that timers can wait: 2³¹ ms and more would fire at once. */
export const duration: Check<number> = number(
  'a number of milliseconds from 0 to under 2^31',
  (value) => value >= 0 && value < 2 ** 31,
);

export const byteCount: Check<number> = integer(1, Number.MAX_SAFE_INTEGER, 'a whole number of bytes');

export const count: Check<number> = integer(1, 2 ** 31 - 1);

export const port: Check<number> = integer(0, 65_535);

export const flag: Check<boolean> = (option, value) => {
  if (typeof value === 'boolean') return value;
  throw invalidOption(option, 'true or false', value);
};

/** One of `choices`. */
export function oneOf<T extends string | number>(...choices: readonly T[]): Check<T> {
  return (option, value) => {
    if ((choices as readonly unknown[]).includes(value)) return value as T;
    throw invalidOption(option, choices.map(describeValue).join(' or '), value);
  };
}

/** A function; its parameters cannot be checked. */
export function func<T>(): Check<T> {
  return (option, value) => {
    if (typeof value === 'function') return value as T;
    throw invalidOption(option, 'a function', value);
  };
}

/** An object that is no array; its members are not checked. */
export function object<T>(): Check<T> {
  return (option, value) => {
    if (isObject(value)) return value as T;
    throw invalidOption(option, 'an object', value);
  };
}

/** An object that has all of the methods. */
export function withMethods<T>(what: string, ...methods: readonly (keyof T & string)[]): Check<T> {
  return (option, value) => {
    const members = isObject(value) ? (value as Readonly<Record<string, unknown>>) : {};
    if (methods.every((method) => typeof members[method] === 'function')) return value as T;
    throw invalidOption(option, `${what} with ${methods.join(', ')}`, value);
  };
}

/**
 * Checks the options that are named in `checks` and returns their values.
 *
 * @param options - an object; `undefined` stands for one without options
 * @param within - the option that `options` is the value of, if it is one: the names in errors start with it
 */
export function checkOptions<T>(checks: Checks<T>, options: unknown, within?: string): T {
  const given = options === undefined ? {} : object<Readonly<Record<string, unknown>>>()(within ?? 'options', options);
  const checked: Record<string, unknown> = {};
  for (const [name, check] of Object.entries<Check<unknown>>(checks)) {
    checked[name] = check(within === undefined ? name : `${within}.${name}`, given[name]);
  }
  return checked as T;
}

/**
 * Refuses the options that `owner` does not have: one that is ignored may be the one that makes a program safe. An option
 * that is `undefined` is not given.
 */
export function refuseUnknown(owner: string, known: object, options: object): void {
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined && !Object.hasOwn(known, name)) {
      throw new SocketError('ERR_OPTION_INVALID', `${name} is not an option of ${owner}`);
    }
  }
}

export function invalidOption(option: string, requirement: string, value: unknown): SocketError {
  return invalid('ERR_OPTION_INVALID', `${option} must be ${requirement}`, value);
}

/** The one wording of all errors about a bad value: `OPTION must be REQUIREMENT, got VALUE`. */
export function invalid(code: SocketErrorCode, requirement: `${string} must ${string}`, value: unknown): SocketError {
  return new SocketError(code, `${requirement}, got ${describeValue(value)}`);
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
