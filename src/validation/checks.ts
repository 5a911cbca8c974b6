import { describeValue } from '../errors/describe-value.js';
import { SocketError, type SocketErrorCode } from '../errors/socket-error.js';

/**
 * Checks the value of an option and returns it.
 *
 * @throws `ERR_OPTION_INVALID`: `OPTION must be REQUIREMENT, got VALUE`
 */
export type Check<T> = (option: string, value: unknown) => T;

export type Checks<T> = { readonly [Name in keyof T]-?: Check<T[Name]> };

export function withDefault<T>(check: Check<T>, defaultValue: T): Check<T> {
  return (option, value) => (value === undefined ? defaultValue : check(option, value));
}

export function optional<T>(check: Check<T>): Check<T | undefined> {
  return (option, value) => (value === undefined ? undefined : check(option, value));
}

/** Requires a number for which `accepts` returns true. */
export function number(requirement: string, accepts: (value: number) => boolean): Check<number> {
  return (option, value) => {
    if (typeof value === 'number' && accepts(value)) return value;
    throw invalidOption(option, requirement, value);
  };
}

/** Requires an integer from `min` to `max`. In error messages, `noun` describes the integer that is required. */
export function integer(min: number, max: number, noun = 'an integer'): Check<number> {
  const range = max < Number.MAX_SAFE_INTEGER ? ` from ${min} to ${max}` : `, at least ${min}`;
  return number(`${noun}${range}`, (value) => Number.isSafeInteger(value) && value >= min && value <= max);
}

/** Requires a number of milliseconds that a timer supports. A timer of 2³¹ ms or more would fire immediately. */
export const duration: Check<number> = number(
  'a number of milliseconds, at least 0 and less than 2^31',
  (value) => value >= 0 && value < 2 ** 31,
);

export const byteCount: Check<number> = integer(1, Number.MAX_SAFE_INTEGER, 'a whole number of bytes');

export const count: Check<number> = integer(1, 2 ** 31 - 1);

export const port: Check<number> = integer(0, 65_535);

export const flag: Check<boolean> = (option, value) => {
  if (typeof value === 'boolean') return value;
  throw invalidOption(option, 'true or false', value);
};

export function oneOf<T extends string | number>(...choices: readonly T[]): Check<T> {
  return (option, value) => {
    if ((choices as readonly unknown[]).includes(value)) return value as T;
    throw invalidOption(option, choices.map(describeValue).join(' or '), value);
  };
}

export function func<T>(): Check<T> {
  return (option, value) => {
    if (typeof value === 'function') return value as T;
    throw invalidOption(option, 'a function', value);
  };
}

/** Requires an object that is not an array. */
export function object<T>(): Check<T> {
  return (option, value) => {
    if (isObject(value)) return value as T;
    throw invalidOption(option, 'an object', value);
  };
}

export function withMethods<T>(what: string, ...methods: readonly (keyof T & string)[]): Check<T> {
  return (option, value) => {
    const members = isObject(value) ? (value as Readonly<Record<string, unknown>>) : {};
    if (methods.every((method) => typeof members[method] === 'function')) return value as T;
    throw invalidOption(option, `${what} with ${methods.join(', ')}`, value);
  };
}

/**
 * Checks the options that `checks` names, and returns their values.
 *
 * @param options - an object; `undefined` counts as an object without options
 * @param within - the option that contains `options`, if any. Error messages start with the name of that option
 */
export function checkOptions<T>(checks: Checks<T>, options: unknown, within?: string): T {
  const given = options === undefined ? {} : object<Readonly<Record<string, unknown>>>()(within ?? 'options', options);
  const checked: Record<string, unknown> = {};
  for (const [name, check] of Object.entries<Check<unknown>>(checks)) {
    checked[name] = check(within === undefined ? name : `${within}.${name}`, given[name]);
  }
  return checked as T;
}

/** Checks options like {@link checkOptions}, and refuses unknown options. */
export function checkExactOptions<T>(owner: string, checks: Checks<T>, options: unknown, within?: string): T {
  const checked = checkOptions(checks, options, within);
  refuseUnknown(owner, checks, options ?? {});
  return checked;
}

/**
 * Refuses options that `owner` does not have, because a misspelt option would otherwise be ignored. An option that is
 * `undefined` counts as omitted.
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

/**
 * Makes an error about a bad value. Every error that this function makes reads `OPTION must be REQUIREMENT, got VALUE`.
 */
export function invalid(code: SocketErrorCode, requirement: `${string} must ${string}`, value: unknown): SocketError {
  return new SocketError(code, `${requirement}, got ${describeValue(value)}`);
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
