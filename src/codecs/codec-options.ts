import { SocketError } from '../errors/socket-error.js';
import { shown } from '../errors/describe-value.js';

/** The longest frame that an option may ask for, in bytes. */
const longest = 2 ** 31 - 1;

/**
 * Gives the options of the codec `name`; none where it was called without any.
 *
 * @throws `ERR_OPTION_INVALID` where they are no object.
 */
export function codecOptions<T extends object>(name: string, options: T | undefined): Partial<T> {
  if (options === undefined) return {};
  if (typeof options === 'object' && options !== null && !Array.isArray(options)) return options;
  throw invalidOption(`the options of ${name}`, 'must be an object', options);
}

/**
 * Gives the option `maxLength`, or `otherwise` where it is not set.
 *
 * @throws `ERR_OPTION_INVALID` where it is no integer from 1 to 2,147,483,647: every codec has a finite maximum (D3).
 */
export function maxLengthOption(value: number | undefined, otherwise: number): number {
  return value === undefined ? otherwise : lengthOption('maxLength', value);
}

/**
 * Gives the length `name`, in bytes.
 *
 * @throws `ERR_OPTION_INVALID` where it is no integer from 1 to 2,147,483,647.
 */
export function lengthOption(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 1 && value <= longest) return value;
  throw invalidOption(name, `must be an integer from 1 to ${longest}`, value);
}

/**
 * Gives the function `name`.
 *
 * @throws `ERR_OPTION_INVALID` where it is none.
 */
export function functionOption<F extends (...args: never[]) => unknown>(name: string, value: F): F {
  if (typeof value === 'function') return value;
  throw invalidOption(name, 'must be a function', value);
}

/**
 * Gives the option `name`, or the first of `choices` where it is not set.
 *
 * @throws `ERR_OPTION_INVALID` where it is none of `choices`.
 */
export function choiceOption<T extends string | number>(
  name: string,
  value: T | undefined,
  choices: readonly [T, ...T[]],
): T {
  if (value === undefined) return choices[0];
  if (choices.includes(value)) return value;
  throw invalidOption(name, `must be ${choices.map(shown).join(' or ')}`, value);
}

/** Tells that the option `option` is not what it must be. */
export function invalidOption(option: string, requirement: string, value: unknown): SocketError {
  return new SocketError('ERR_OPTION_INVALID', `${option} ${requirement}, got ${shown(value)}`);
}
