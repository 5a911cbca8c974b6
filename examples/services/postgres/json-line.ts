/** Rows of PostgreSQL as lines of JSON. */
import pg from 'pg';

const { BYTEA, CIRCLE, DATE, INTERVAL, TEXT, TIMESTAMP, TIMESTAMPTZ } = pg.types.builtins;
const point = 600;
const textArray = 1009;

/**
 * The types whose values stay text, as PostgreSQL writes them. The driver would convert them to objects without
 * microseconds, time zones or days.
 */
const asText = new Map<number, number>([
  ...[BYTEA, CIRCLE, DATE, INTERVAL, TIMESTAMP, TIMESTAMPTZ, point].map((type) => [type, TEXT] as const),
  // Arrays of bytea, point, timestamp, date, timestamptz and interval.
  ...[1001, 1017, 1115, 1182, 1185, 1187].map((type) => [type, textArray] as const),
]);

/**
 * How the driver reads values: types that JSON has become JSON values, and all others stay text. int8 and numeric stay
 * text, too, because not all JSON readers keep all their digits.
 */
export const types: pg.CustomTypesConfig = {
  // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- the driver's list of types has no arrays
  getTypeParser: (type, format) => pg.types.getTypeParser(asText.get(type) ?? type, format) as unknown,
};

/** Formats a row as a line. */
export function jsonLine(row: unknown): string {
  return `${JSON.stringify(row, (_name, value: unknown) =>
    typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
  )}\n`;
}
