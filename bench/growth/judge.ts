import { type Spread, spread } from '../statistics.js';

/**
 * The processor time of a server for a task with `n` items, in microseconds. `costs` has one time for each round. A
 * pair of `n` and `costs` is called a point.
 */
export interface Costs {
  readonly n: number;
  readonly costs: readonly number[];
}

/** A step from one point to a point that is at least ten times as large. */
export interface Step {
  readonly from: number;
  readonly to: number;
  /**
   * The ratio of the costs of the two points, divided by the ratio of their sizes. Linear growth is 1, and less is
   * better.
   */
  readonly growth: Spread;
}

/** The maximum growth: ten times the connections, messages or bytes may cost twelve times as much. */
const allowed = 1.2;

/** Compares each point, round by round, with the largest point that has at most a tenth of the items. */
export function stepsOf(points: readonly Costs[]): Step[] {
  return points.flatMap(({ n, costs }) => {
    const base = points.filter((point) => point.n > 0 && point.n * 10 <= n).sort((a, b) => b.n - a.n)[0];
    if (base === undefined) return [];
    const growths = costs.map((cost, round) => cost / base.costs[round]! / (n / base.n));
    return [{ from: base.n, to: n, growth: spread(growths) }];
  });
}

export interface Other {
  readonly title: string;
  readonly step: Step;
}

/**
 * Judges by the median whether the cost of this library grows linearly in a step. If the cost of a simpler server also
 * grows too much, and the cost of this library grows little more, the verdict names the simpler server. The cause then
 * lies in a layer below both servers.
 */
export function judge(ours: Step, others: readonly Other[]): string {
  if (ours.growth.median <= allowed) return 'yes';
  const same = others.find(({ step: { growth } }) => {
    return growth.median > allowed && ours.growth.median <= growth.median * allowed;
  });
  return same === undefined ? 'no' : `no, nor is ${same.title}`;
}

export function worst(steps: readonly Step[]): Step | undefined {
  return steps.toSorted((a, b) => b.growth.median - a.growth.median)[0];
}
