import { SocketError, shown } from '../errors.js';

/** The largest `maxLength` that an option may ask for, in bytes. */
const longest = 2 ** 31 - 1;

/**
 * Gives the options of the codec `name`; none where it was called without any.
 *
 * @throws `ERR_OPTION_INVALID` where they are no object.
 */
export function codecOptions<T extends object>(name: string, options: T | undefined): Partial<T> {
  if (options === undefined) return {};
  if (typeof options === 'object' && options !== null && !Array.isArray(options)) return options;
  throw invalid(`the options of ${name}`, 'must be an object', options);
}

/**
 * Gives the option `maxLength`, or `otherwise` where it is not set.
 *
 * @throws `ERR_OPTION_INVALID` where it is no integer from 1 to 2,147,483,647: every codec has a finite maximum (D3).
 */
export function maxLengthOption(value: number | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (Number.isSafeInteger(value) && value >= 1 && value <= longest) return value;
  throw invalid('maxLength', `must be an integer from 1 to ${longest}`, value);
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
  throw invalid(name, `must be ${choices.map(shown).join(' or ')}`, value);
}

function invalid(option: string, requirement: string, value: unknown): SocketError {
  return new SocketError('ERR_OPTION_INVALID', `${option} ${requirement}, got ${shown(value)}`);
}
