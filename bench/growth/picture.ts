import { colours } from '../picture.js';
import { at, svg, text } from '../svg.js';
import { ours, type FoundGrowth } from './measure.js';
import { seriesOf, time } from './print.js';

const width = 760;
const panel = { width: 370, height: 210, left: 58, right: 20, top: 34, bottom: 34 };

/**
 * Draws a panel for each series, with the cost of one item. If the total cost grows linearly, the line is level. If the
 * total cost grows faster, the line rises.
 */
export function curves(title: string, all: readonly FoundGrowth[]): string {
  const parts = [
    text(10, 42, ours, `fill="${colours[ours]}" font-weight="bold"`),
    text(90, 42, 'node:net, tuned by hand', `fill="${colours['tuned']}" font-weight="bold"`),
    text(250, 42, 'C over epoll', `fill="${colours['limit']}" font-weight="bold"`),
  ];
  all.forEach((found, index) => {
    const x = 5 + (index % 2) * (panel.width + 10);
    const y = 50 + Math.floor(index / 2) * panel.height;
    parts.push(`<g transform="translate(${x} ${y})">${plot(found).join('\n')}</g>`);
  });
  return svg(width, 60 + Math.ceil(all.length / 2) * panel.height, title, parts);
}

interface Curve {
  readonly name: string;
  readonly points: readonly { readonly n: number; readonly y: number }[];
}

function plot(found: FoundGrowth): string[] {
  const { title, of, points } = seriesOf(found);
  // A series that starts at 0 items has a cost even without items. So its panel shows the total cost, on linear axes.
  const plain = points.includes(0);
  const curves: Curve[] = Object.entries(found.servers).flatMap(([name, grown]) =>
    'failed' in grown
      ? []
      : [{ name, points: grown.points.map(({ n, cost }) => ({ n, y: plain ? cost.median : cost.median / n })) }],
  );
  const scale = (values: readonly number[], from: number, to: number): ((value: number) => number) => {
    const of = plain ? (value: number) => value : Math.log10;
    const low = of(plain ? 0 : Math.min(...values));
    const high = of(Math.max(...values));
    return (value) => from + ((of(value) - low) / (high - low || 1)) * (to - from);
  };
  const ns = curves.flatMap(({ points }) => points.map(({ n }) => n));
  const ys = curves.flatMap(({ points }) => points.map(({ y }) => y));
  if (ns.length === 0) return [];
  const bottom = panel.height - panel.bottom;
  const x = scale(ns, panel.left, panel.width - panel.right);
  const y = scale(plain ? ys : [Math.min(...ys) / 2, Math.max(...ys) * 2], bottom, panel.top);
  const unit = plain ? 'for each line' : `for each of the ${of}`;
  return [
    text(panel.left, 16, title, 'font-weight="bold"'),
    text(panel.left, 28, `processor time ${unit}`, 'fill="#6b7280"'),
    `<path d="M${panel.left} ${panel.top}V${bottom}H${panel.width - panel.right}" fill="none" stroke="#9ca3af"/>`,
    ...[Math.min(...ys), Math.max(...ys)].map((value) =>
      text(panel.left - 4, y(value) + 4, time(value), 'text-anchor="end"'),
    ),
    ...[...new Set(ns)].map((n) => text(x(n), bottom + 14, short(n), 'text-anchor="middle"')),
    text((panel.left + panel.width) / 2, bottom + 28, of.replaceAll('`', ''), 'text-anchor="middle" fill="#6b7280"'),
    ...curves.flatMap(({ name, points }) => [
      `<polyline points="${points.map(({ n, y: value }) => `${at(x(n))},${at(y(value))}`).join(' ')}" fill="none" stroke="${colours[name]}" stroke-width="2"/>`,
      ...points.map(
        ({ n, y: value }) => `<circle cx="${at(x(n))}" cy="${at(y(value))}" r="3" fill="${colours[name]}"/>`,
      ),
    ]),
  ];
}

/** Formats a number as `10k` or `16M`. Millions are rounded down, so 16,777,216 becomes `16M`. */
function short(n: number): string {
  if (n >= 1e6) return `${Math.floor(n / 1e6)}M`;
  return n >= 1e3 ? `${n / 1e3}k` : String(n);
}
