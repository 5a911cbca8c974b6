import { shown } from '../errors/describe-value.js';
import { SocketError } from '../errors/socket-error.js';

export function port(name: string, value: number | undefined): number {
  if (value === undefined) return 0;
  if (!Number.isInteger(value) || value < 0 || value > 65_535)
    throw invalid(name, value, 'a whole number from 0 to 65,535');
  return value;
}

/** A timer of 2³¹ ms and more would fire at once. */
export function duration(name: string, value: number | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (typeof value !== 'number' || !(value >= 0 && value < 2 ** 31)) {
    throw invalid(name, value, 'a number of milliseconds from 0 (never) to under 2^31');
  }
  return value;
}

export function size(name: string, value: number | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (!Number.isSafeInteger(value) || value < 1) throw invalid(name, value, 'a whole number of bytes from 1');
  return value;
}

export function count(name: string, value: number | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (!Number.isSafeInteger(value) || value < 1 || value >= 2 ** 31)
    throw invalid(name, value, 'a whole number from 1 to under 2^31');
  return value;
}

export function flag(name: string, value: boolean | undefined, otherwise: boolean): boolean {
  if (value === undefined) return otherwise;
  if (typeof value !== 'boolean') throw invalid(name, value, 'true or false');
  return value;
}

export function oneOf<T extends string>(name: string, value: T | undefined, choices: readonly [T, ...T[]]): T {
  if (value === undefined) return choices[0];
  if (!choices.includes(value)) throw invalid(name, value, choices.map((choice) => `'${choice}'`).join(' or '));
  return value;
}

export function callback<T>(name: string, value: T | undefined): T | undefined {
  if (value === undefined || typeof value === 'function') return value;
  throw invalid(name, value, 'a function');
}

export function object<T>(name: string, value: T | undefined): T | undefined {
  if (value === undefined || (typeof value === 'object' && value !== null && !Array.isArray(value))) return value;
  throw invalid(name, value, 'an object');
}

export function hasMethods(value: unknown, ...names: string[]): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return names.every((name) => typeof (value as Record<string, unknown>)[name] === 'function');
}

export function invalid(name: string, value: unknown, wanted: string): SocketError {
  return new SocketError('ERR_OPTION_INVALID', `${name} must be ${wanted}, not ${shown(value)}`);
}
