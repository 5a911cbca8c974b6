import { inspect, types } from 'node:util';

/** Describes a value for an error message, in one short line without control characters. */
export function describeValue(value: unknown): string {
  const longest = 100;
  if (typeof value === 'string') {
    return value.length > longest ? `${JSON.stringify(value.slice(0, longest))}…` : JSON.stringify(value);
  }
  return cut(inspected(value, longest), longest);
}

/** Inspects a value, even if a getter or a proxy throws. */
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

/** Describes a thrown value for an error message. An error is described by its name and message. */
export function describeError(cause: unknown): string {
  // An error from a different realm is not an instance of this realm's Error.
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

/**
 * Returns an error's message. An AggregateError's own message is often empty, so the messages of its errors are joined.
 */
export function messageOf(cause: unknown): string {
  if (cause instanceof AggregateError && cause.errors.length > 0) return cause.errors.map(messageOf).join('; ');
  return cause instanceof Error ? cause.message : describeValue(cause);
}
