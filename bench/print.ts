import { aim, digits, type Found, range, rowOf, targetsOf } from './results.js';

/**
 * Prints the targets of a row. For each server, prints the median, the ratio to the server `plain` with the minimum and
 * the maximum of that ratio, and the ratio of processor times.
 */
export function printFound(one: Found): void {
  const { title, scale } = rowOf(one);
  console.log(`\n${title}, ${one.transport}: ${one.unit}`);
  for (const target of targetsOf(one)) {
    const verdict = { true: 'reached', false: 'not reached', undefined: 'not measured' }[String(target.reached)];
    const was = target.ratio === undefined ? '' : `: ${digits(target.ratio.median)}`;
    console.log(`  target against ${target.to} ${aim(target)}${was}, ${verdict}`);
  }
  for (const [name, measured] of Object.entries(one.servers)) {
    if ('failed' in measured) {
      console.log(`  ${name.padEnd(15)} failed: ${measured.failed}`);
      continue;
    }
    const { figure, ratio, cpu, time } = measured;
    const columns = [
      digits(figure.median / scale).padStart(9),
      ratio === undefined ? '' : `ratio ${range(ratio)}`.padEnd(28),
      cpu === undefined ? '' : `cpu ${digits(cpu.median)}`,
      time === undefined ? '' : `${digits(time.median)} µs`,
    ];
    console.log(`  ${name.padEnd(15)}${columns.join('  ').trimEnd()}`);
  }
}
