import { aim, digits, type Found, reached, rowOf } from './results.js';
import type { Spread } from './statistics.js';

const range = ({ median, least, greatest }: Spread): string =>
  `${digits(median)} (${digits(least)} to ${digits(greatest)})`;

/** Prints a row: the median, its ratio to plain with least and greatest, and the ratio of processor time. */
export function printFound(one: Found): void {
  const { title, scale } = rowOf(one);
  const verdict = { true: ', reached', false: ', not reached', undefined: '' }[String(reached(one))];
  console.log(`\n${title}, ${one.transport}: ${one.unit}; target against plain ${aim(one)}${verdict}`);
  for (const [name, measured] of Object.entries(one.servers)) {
    if ('failed' in measured) {
      console.log(`  ${name.padEnd(13)} failed: ${measured.failed}`);
      continue;
    }
    const { figure, ratio, cpu } = measured;
    const columns = [
      digits(figure.median / scale).padStart(9),
      ratio === undefined ? '' : `ratio ${range(ratio)}`.padEnd(28),
      cpu === undefined ? '' : `cpu ${digits(cpu.median)}`,
    ];
    console.log(`  ${name.padEnd(13)}${columns.join('  ').trimEnd()}`);
  }
}
