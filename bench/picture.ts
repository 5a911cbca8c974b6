import { digits, type Found, rowOf } from './results.js';
import { servers } from './rows.js';
import { svg, text } from './svg.js';

export const colours: Readonly<Record<string, string>> = {
  'rxjs-sockets': '#b7178c',
  plain: '#6b7280',
  tuned: '#374151',
  'from-event': '#d97706',
  split2: '#0d9488',
  effect: '#2563eb',
  'effect-batched': '#60a5fa',
  limit: '#d1d5db',
  ws: '#16a34a',
};

const width = 760;
const left = 150;
const room = width - left - 70;
const bar = 14;

/**
 * Draws a bar for each server in each row. The length of a bar shows the server's ratio to the server `plain`, on a
 * logarithmic axis.
 */
export function bars(title: string, rows: readonly Found[]): string {
  const ratios = rows.flatMap(({ servers }) => Object.values(servers).flatMap((each) => ratio(each) ?? []));
  const low = Math.log10(Math.min(0.5, ...ratios));
  const high = Math.log10(Math.max(2, ...ratios));
  const x = (value: number): number => left + ((Math.log10(value) - low) / (high - low)) * room;
  const parts: string[] = [];
  let y = 40;
  for (const row of rows) {
    const better = row.better === 'more' ? 'more is better' : 'less is better';
    parts.push(text(10, (y += 22), `${rowOf(row).title} (${better})`, 'font-weight="bold"'));
    y += 8;
    for (const name of servers) {
      const value = ratio(row.servers[name]);
      if (value === undefined) continue;
      const from = Math.min(x(1), x(value));
      const size = Math.max(1, Math.abs(x(value) - x(1)));
      parts.push(
        text(left - 50, y + bar - 3, name, 'text-anchor="end"'),
        `<rect x="${from.toFixed(1)}" y="${y}" width="${size.toFixed(1)}" height="${bar - 2}" fill="${colours[name]}"/>`,
        text(Math.max(x(1), x(value)) + 4, y + bar - 3, digits(value)),
      );
      y += bar;
    }
  }
  const line = `<line x1="${x(1).toFixed(1)}" x2="${x(1).toFixed(1)}" y1="40" y2="${y + 4}" stroke="#9ca3af"/>`;
  return svg(width, y + 16, title, [...parts, line]);
}

function ratio(measured: Found['servers'][string] | undefined): number | undefined {
  return measured === undefined || 'failed' in measured ? undefined : measured.ratio?.median;
}
