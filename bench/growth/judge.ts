import { type Spread, spread } from '../statistics.js';

/** What one point of a series costs: microseconds of the server's processor time for the task, one for each round. */
export interface Costs {
  readonly n: number;
  readonly costs: readonly number[];
}

/** From one point to one that is ten times as great, or more. */
export interface Step {
  readonly from: number;
  readonly to: number;
  /** How much more the greater one costs, divided by how much greater it is: 1 is linear, less is better. */
  readonly growth: Spread;
}

/** What ten times the connections, messages or bytes may cost at most, divided by ten. */
const allowed = 1.2;

/** Compares each point with the greatest that is at most a tenth of it, round by round. */
export function stepsOf(points: readonly Costs[]): Step[] {
  return points.flatMap(({ n, costs }) => {
    const base = points.filter((point) => point.n > 0 && point.n * 10 <= n).sort((a, b) => b.n - a.n)[0];
    if (base === undefined) return [];
    const growths = costs.map((cost, round) => cost / base.costs[round]! / (n / base.n));
    return [{ from: base.n, to: n, growth: spread(growths) }];
  });
}

/** What another server does in the same step. */
export interface Other {
  readonly title: string;
  readonly step: Step;
}

/**
 * Whether a step is linear, judged by its median: where it is not, whether another server, which does less, grows so too,
 * in which case it lies in what is below us both.
 */
export function judge(ours: Step, others: readonly Other[]): string {
  if (ours.growth.median <= allowed) return 'yes';
  const same = others.find(({ step: { growth } }) => {
    return growth.median > allowed && ours.growth.median <= growth.median * allowed;
  });
  return same === undefined ? 'no' : `no, nor is ${same.title}`;
}

/** The step that grows most. */
export function worst(steps: readonly Step[]): Step | undefined {
  return steps.toSorted((a, b) => b.growth.median - a.growth.median)[0];
}
