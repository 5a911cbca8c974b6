import { digits } from '../results.js';
import { judge, type Other, type Step, worst } from './judge.js';
import { beside, type FoundGrowth, ours } from './measure.js';
import { type Series, series } from './series.js';

export function seriesOf({ id }: FoundGrowth): Series {
  const one = series.find((each) => each.id === id);
  if (one === undefined) throw new Error(`There is no series '${id}'.`);
  return one;
}

function stepsOfServer(found: FoundGrowth, name: string): readonly Step[] {
  const grown = found.servers[name];
  return grown === undefined || 'failed' in grown ? [] : grown.steps;
}

/** Returns the other servers' steps that lead to the same point as the given step. */
export function stepsBeside(found: FoundGrowth, { to }: Step): Other[] {
  return Object.entries(beside).flatMap(([name, title]) =>
    stepsOfServer(found, name).flatMap((step) => (step.to === to ? [{ title, step }] : [])),
  );
}

/**
 * Returns the steepest step for which only this library is to blame. If there is no such step, returns the steepest
 * step of this library.
 */
export function decisive(found: FoundGrowth): Step | undefined {
  const steps = stepsOfServer(found, ours);
  const guilty = steps.filter((step) => judge(step, stepsBeside(found, step)) === 'no');
  return worst(guilty.length > 0 ? guilty : steps);
}

export function count(n: number): string {
  return n.toLocaleString('en');
}

export function time(microseconds: number): string {
  if (microseconds >= 1e6) return `${digits(microseconds / 1e6)} s`;
  if (microseconds >= 1e3) return `${digits(microseconds / 1e3)} ms`;
  return microseconds >= 1 ? `${digits(microseconds)} µs` : `${digits(microseconds * 1e3)} ns`;
}

export function printGrowth(found: FoundGrowth): void {
  const { title, task, of } = seriesOf(found);
  console.log(`\n${title}, ${found.transport}: ${task}; processor time, and its growth beyond linear`);
  for (const [name, grown] of Object.entries(found.servers)) {
    if ('failed' in grown) {
      console.log(`  ${name} failed: ${grown.failed}`);
      continue;
    }
    for (const { n, cost } of grown.points) {
      const step = grown.steps.find(({ to }) => to === n);
      const grew = step === undefined ? '' : `${digits(step.growth.median)} of linear from ${count(step.from)}`;
      console.log(
        `  ${name.padEnd(13)} ${count(n).padStart(10)} ${of}  ${time(cost.median).padStart(8)}  ${grew}`.trimEnd(),
      );
    }
  }
  const most = decisive(found);
  if (most !== undefined) console.log(`  at most linear: ${judge(most, stepsBeside(found, most))}`);
}
