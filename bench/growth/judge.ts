import { type Spread, spread } from '../statistics.js';

/** The cost of one point of a series: microseconds of the server's processor time for the task, one for each round. */
export interface Costs {
  readonly n: number;
  readonly costs: readonly number[];
}

/** A step from one point to a point that is at least ten times as large. */
export interface Step {
  readonly from: number;
  readonly to: number;
  /** The ratio of the costs divided by the ratio of the sizes: 1 is linear, less is better. */
  readonly growth: Spread;
}

/** The maximum growth: ten times the connections, messages or bytes may cost twelve times as much. */
const allowed = 1.2;

/** Compares each point with the largest that is at most a tenth of it, round by round. */
export function stepsOf(points: readonly Costs[]): Step[] {
  return points.flatMap(({ n, costs }) => {
    const base = points.filter((point) => point.n > 0 && point.n * 10 <= n).sort((a, b) => b.n - a.n)[0];
    if (base === undefined) return [];
    const growths = costs.map((cost, round) => cost / base.costs[round]! / (n / base.n));
    return [{ from: base.n, to: n, growth: spread(growths) }];
  });
}

/** The growth of a different server in the same step. */
export interface Other {
  readonly title: string;
  readonly step: Step;
}

/**
 * Judges by its median whether a step is linear. If it is not, but a server that does less grows in the same way, the
 * cause lies below both.
 */
export function judge(ours: Step, others: readonly Other[]): string {
  if (ours.growth.median <= allowed) return 'yes';
  const same = others.find(({ step: { growth } }) => {
    return growth.median > allowed && ours.growth.median <= growth.median * allowed;
  });
  return same === undefined ? 'no' : `no, nor is ${same.title}`;
}

/** Returns the step that grows most. */
export function worst(steps: readonly Step[]): Step | undefined {
  return steps.toSorted((a, b) => b.growth.median - a.growth.median)[0];
}
