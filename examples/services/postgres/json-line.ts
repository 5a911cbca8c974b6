/** Formats rows of PostgreSQL as lines of JSON. */
import pg from 'pg';

const { BYTEA, CIRCLE, DATE, INTERVAL, TEXT, TIMESTAMP, TIMESTAMPTZ } = pg.types.builtins;
const point = 600;
const textArray = 1009;

/**
 * PostgreSQL types whose values stay text. If the driver made JavaScript objects of times, the values would lose
 * microseconds, time zones or days.
 */
const asText = new Map<number, number>([
  ...[BYTEA, CIRCLE, DATE, INTERVAL, TIMESTAMP, TIMESTAMPTZ, point].map((type) => [type, TEXT] as const),
  // The types of arrays of bytea, point, timestamp, date, timestamptz and interval.
  ...[1001, 1017, 1115, 1182, 1185, 1187].map((type) => [type, textArray] as const),
]);

/**
 * Converts only values of types that JSON has. Values of int8 and numeric stay text, because some JSON readers would
 * lose digits of such numbers.
 */
export const types: pg.CustomTypesConfig = {
  // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- the driver's list of types has no arrays
  getTypeParser: (type, format) => pg.types.getTypeParser(asText.get(type) ?? type, format) as unknown,
};

export function jsonLine(row: unknown): string {
  return `${JSON.stringify(row, (_name, value: unknown) =>
    typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
  )}\n`;
}
