import { inspect, types } from 'node:util';

/**
 * Writes an offending value into a message: quoted, without control characters, and never longer than a line.
 *
 * @internal
 */
export function describeValue(value: unknown): string {
  const longest = 100;
  if (typeof value === 'string') {
    return value.length > longest ? `${JSON.stringify(value.slice(0, longest))}…` : JSON.stringify(value);
  }
  return cut(inspected(value, longest), longest);
}

/** An object may throw at whoever looks at it, and what is wrong with it is to be said all the same. */
function inspected(value: unknown, longest: number): string {
  try {
    return inspect(value, { depth: 0, maxArrayLength: 5, maxStringLength: longest, breakLength: Infinity });
  } catch {
    return typeof value === 'function' ? 'a function' : 'an object';
  }
}

function cut(text: string, longest: number): string {
  return text.length > longest ? `${text.slice(0, longest)}…` : text;
}

/**
 * Writes what was thrown into the message of another error: the name and the message of an error, whatever its members
 * are, and anything else as {@link describeValue}.
 *
 * @internal
 */
export function describeError(cause: unknown): string {
  // An error of another realm is no instance of ours.
  if (!(cause instanceof Error) && !types.isNativeError(cause)) return describeValue(cause);
  const name = memberOf(cause, 'name') || 'Error';
  const message = memberOf(cause, 'message') || (cause instanceof AggregateError ? messageOf(cause) : '');
  return cut(message === '' ? name : `${name}: ${message}`, 1_000);
}

function memberOf(error: Error, member: 'name' | 'message'): string {
  try {
    const value: unknown = error[member];
    return typeof value === 'string' ? value : value === undefined ? '' : describeValue(value);
  } catch {
    return '';
  }
}

export function messageOf(cause: unknown): string {
  if (cause instanceof AggregateError && cause.errors.length > 0) return cause.errors.map(messageOf).join('; ');
  return cause instanceof Error ? cause.message : describeValue(cause);
}
