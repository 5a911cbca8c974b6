import { table } from '../table.js';
import { digits, range } from '../results.js';
import { transports, type Transport } from '../rows.js';
import { judge, type Step } from './judge.js';
import { beside, type FoundGrowth, ours } from './measure.js';
import { count, decisive, seriesOf, stepsBeside, time } from './print.js';
import { series } from './series.js';

const titles: Readonly<Record<Transport, string>> = { tcp: 'TCP', unix: 'unix' };

/** Makes a table that shows, for each series, the step that `decisive` chooses, and how `judge` judges this step. */
export function summary(all: readonly FoundGrowth[]): string {
  const rows = all.map((found) => {
    const head = [seriesOf(found).title, titles[found.transport]];
    const most = decisive(found);
    const titlesBeside = Object.values(beside);
    if (most === undefined) return [...head, '', 'failed', ...titlesBeside.map(() => ''), 'no'];
    const others = stepsBeside(found, most);
    return [
      ...head,
      `${count(most.from)} to ${count(most.to)}`,
      range(most.growth),
      ...titlesBeside.map((title) => {
        const other = others.find((one) => one.title === title);
        return other === undefined ? '' : range(other.step.growth);
      }),
      judge(most, others),
    ];
  });
  return table(
    ['number of', 'over', 'steepest step', 'rxjs-sockets', 'node:net, tuned', 'C over epoll', 'at most 1.2'],
    rows,
  );
}

export function details(all: readonly FoundGrowth[]): string[] {
  return series.flatMap((each) => {
    const found = transports.flatMap((transport) =>
      all.filter((one) => one.id === each.id && one.transport === transport),
    );
    if (found.length === 0) return [];
    const columns = found.flatMap((one) => [
      { one, name: ours, title: titles[one.transport] },
      ...(each.beside
        ? Object.entries(beside).map(([name, title]) => ({ one, name, title: `${titles[one.transport]}, ${title}` }))
        : []),
    ]);
    const rows = each.points.map((n) => [count(n), ...columns.map(({ one, name }) => cell(one, name, n))]);
    return [`**${each.title}**: ${each.task}.`, table([each.of, ...columns.map(({ title }) => title)], rows)];
  });
}

/**
 * Formats the cost of the task with `n` items. If there is a smaller point to compare with, the growth from that point
 * follows in brackets.
 */
function cell({ servers }: FoundGrowth, name: string, n: number): string {
  const grown = servers[name];
  if (grown === undefined) return '';
  if ('failed' in grown) return 'failed';
  const point = grown.points.find((one) => one.n === n);
  const step: Step | undefined = grown.steps.find(({ to }) => to === n);
  if (point === undefined) return '';
  return `${time(point.cost.median)}${step === undefined ? '' : ` (${digits(step.growth.median)})`}`;
}
