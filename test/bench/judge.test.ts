import { describe, expect, it } from 'vitest';
import { judge, stepsOf, worst } from '../../bench/growth/judge.js';
import { summary } from '../../bench/growth/report.js';
import { series } from '../../bench/growth/series.js';
import { type Found, targetsOf } from '../../bench/results.js';
import { rows } from '../../bench/rows.js';
import { spread } from '../../bench/statistics.js';
import '../support/leaks.js';

const always = (growth: number) => ({ from: 1, to: 10, growth: spread([growth]) });

describe('the judgement of how cost grows', () => {
  it('compares each size with the largest size that is at most a tenth as large, and skips size 0', () => {
    const steps = stepsOf([0, 1, 5, 10, 90, 100].map((n) => ({ n, costs: [n + 1] })));
    expect(steps.map(({ from, to }) => [from, to])).toEqual([
      [1, 10],
      [5, 90],
      [10, 100],
    ]);
  });

  it('if the size grows tenfold, rates a linear cost as 1, a quadratic cost as 10, and a fixed cost as 0.1', () => {
    const growthOf = (cost: (n: number) => number) =>
      stepsOf([10, 100, 1_000].map((n) => ({ n, costs: [cost(n)] }))).map(({ growth }) => growth.median);
    expect(growthOf((n) => 3 * n)).toEqual([1, 1]);
    expect(growthOf((n) => n * n)).toEqual([10, 10]);
    expect(growthOf(() => 7)).toEqual([0.1, 0.1]);
  });

  it('compares points of the same round, so a slow round does not change the growth', () => {
    const [step] = stepsOf([
      { n: 1, costs: [1, 100, 1] },
      { n: 10, costs: [10, 1_000, 13] },
    ]);
    expect(step?.growth).toEqual({ median: 1, least: 1, greatest: 1.3 });
  });

  it('rates the cost as linear if the median of the growth is at most 1.2', () => {
    expect(judge(always(1.2), [])).toBe('yes');
    expect(judge(always(1.21), [])).toBe('no');
    expect(judge({ from: 1, to: 10, growth: spread([1, 1.1, 9]) }, [])).toBe('yes');
  });

  it('names a simpler server if neither our server nor that server is linear, and ours is hardly worse', () => {
    const others = (tuned: number, limit = 1) => [
      { title: 'node:net', step: always(tuned) },
      { title: 'C', step: always(limit) },
    ];
    expect(judge(always(1.5), others(1.4))).toBe('no, nor is node:net');
    expect(judge(always(1.5), others(1.2))).toBe('no');
    expect(judge(always(1.5), others(1.2, 1.4))).toBe('no, nor is C');
    expect(judge(always(1.7), others(1.4, 1.4))).toBe('no');
    expect(judge(always(1.1), others(1.4))).toBe('yes');
  });

  it('judges a row by the steepest step in the row', () => {
    expect(worst([always(0.5), always(1.3), always(1)])?.growth.median).toBe(1.3);
    expect(worst([])).toBeUndefined();
  });

  it('reports the rows whose cost grows faster than linearly, and the rows that failed', () => {
    const grown = (growth: number) => ({ points: [{ n: 1, cost: spread([1]) }], steps: [always(growth)] });
    const lines = summary([
      { id: 'open', transport: 'tcp', servers: { 'rxjs-sockets': grown(1.3), tuned: grown(1), limit: grown(0.9) } },
      { id: 'sizes', transport: 'unix', servers: { 'rxjs-sockets': grown(1.1), tuned: grown(1) } },
      { id: 'members', transport: 'tcp', servers: { 'rxjs-sockets': { failed: 'a byte' }, tuned: grown(1) } },
    ]).split('\n');
    expect(lines.slice(2)).toEqual([
      '| Connections that are open | TCP | 1 to 10 | 1.30 (1.30 to 1.30) | 1.00 (1.00 to 1.00) | 0.90 (0.90 to 0.90) | no |',
      '| Bytes of a message | unix | 1 to 10 | 1.10 (1.10 to 1.10) | 1.00 (1.00 to 1.00) |  | yes |',
      '| Members of a Broadcast | TCP |  | failed |  |  | no |',
    ]);
  });

  it('is based on 10 to 10,000 connections, 1 byte to 16 MiB, 0 to 10 operators and 1 to 5,000 members', () => {
    const ends = series.map(({ id, points }) => [id, points[0], points.at(-1)]);
    expect(ends).toEqual([
      ['connections', 10, 10_000],
      ['open', 10, 10_000],
      ['messages', 1_000, 10_000_000],
      ['sizes', 1, 16_777_216],
      ['operators', 0, 10],
      ['members', 1, 5_000],
    ]);
  });
});

describe('the targets of the benchmark', () => {
  const lines = rows.find(({ id }) => id === 'lines')!;
  const figure = spread([1]);
  const foundWith = (servers: Found['servers']): Found => ({
    id: 'lines',
    transport: 'tcp',
    unit: lines.unit,
    better: 'more',
    target: 12,
    against: lines.against!,
    servers,
  });
  const verdicts = (found: Found) => targetsOf(found).map(({ to, target, reached }) => [to, target, reached]);

  it('compare our server with each of three servers on pipelined lines, by the median of the ratios', () => {
    const against = { effect: spread([2, 2.6, 2.7]), limit: spread([0.2, 0.29, 0.4]) };
    expect(verdicts(foundWith({ 'rxjs-sockets': { figure, ratio: spread([12, 12, 13]), against } }))).toEqual([
      ['plain', 12, true],
      ['effect', 2.5, true],
      ['limit', 0.3, false],
    ]);
  });

  it('are missed if our server failed, and are not judged if the server to compare with was not measured', () => {
    expect(verdicts(foundWith({ 'rxjs-sockets': { failed: 'a byte' } })).map(([, , reached]) => reached)).toEqual([
      false,
      false,
      false,
    ]);
    expect(verdicts(foundWith({ 'rxjs-sockets': { figure } })).map(([, , reached]) => reached)).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('are reached by a ratio below the target, if less is better', () => {
    const found = {
      ...foundWith({ 'rxjs-sockets': { figure, ratio: spread([0.9]) } }),
      better: 'less',
      target: 1,
    } as const;
    expect(targetsOf({ ...found, against: {} })[0]?.reached).toBe(true);
    expect(targetsOf({ ...found, against: {}, target: 0.8 })[0]?.reached).toBe(false);
  });
});
