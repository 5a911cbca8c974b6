// Makes the tables and the pictures of docs/performance.md out of what `npm run bench` has found:
//   npm run bench:report -- [FILE]     bench/results.json by default
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { bars } from './picture.js';
import { aim, digits, type Found, rowOf, type Run, reached } from './results.js';
import { servers } from './rows.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const page = join(root, 'docs/performance.md');
const start = '<!-- figures: written by npm run bench:report -->\n';
const end = '<!-- end of the figures -->\n';

/** A cell: the ratio to plain, or the figure of plain itself, which the others are ratios of. */
function cell(found: Found, name: string): string {
  const measured = found.servers[name];
  if (measured === undefined) return '';
  if ('failed' in measured) return 'failed';
  const { figure, ratio } = measured;
  if (name === 'plain' || ratio === undefined) return `${digits(figure.median / rowOf(found).scale)} ${found.unit}`;
  return `${digits(ratio.median)} (${digits(ratio.least)} to ${digits(ratio.greatest)})`;
}

function table(rows: readonly Found[]): string {
  const present = servers.filter((name) => rows.some((row) => name in row.servers));
  const head = ['work', 'target', 'reached', ...present];
  const body = rows.map((row) => [
    rowOf(row).title,
    aim(row),
    { true: 'yes', false: 'no', undefined: '' }[String(reached(row))]!,
    ...present.map((name) => cell(row, name)),
  ]);
  return [head, head.map(() => '---'), ...body].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** The section, and the pictures that it shows. */
async function section({ date, machine, settings, rows }: Run): Promise<string> {
  const folder = join(root, 'docs/performance');
  await mkdir(folder, { recursive: true });
  const parts = [
    `Measured on ${date.slice(0, 10)}: ${machine.cores} cores of ${machine.processor}, ${machine.system}, Node ${machine.node};
     medians of ${settings.rounds} rounds of ${settings.seconds} s for each server, least and greatest in brackets.`,
  ];
  for (const [transport, title] of [
    ['tcp', 'TCP'],
    ['unix', 'Unix sockets'],
  ] as const) {
    const those = rows.filter((row) => row.transport === transport);
    if (those.length === 0) continue;
    await writeFile(join(folder, `${transport}.svg`), bars(`${title}: ratio to plain node:net`, those));
    parts.push(`### ${title}`, `![${title}, as ratios to plain](performance/${transport}.svg)`, table(those));
  }
  return parts.join('\n\n');
}

const file = process.argv[2] ?? join(root, 'bench/results.json');
const text = await readFile(page, 'utf8');
const from = text.indexOf(start);
const to = text.indexOf(end);
if (from < 0 || to < from) throw new Error(`${page} lacks the lines between which the figures stand.`);
const figures = await section(JSON.parse(await readFile(file, 'utf8')) as Run);
const whole = `${text.slice(0, from)}${start}\n${figures}\n\n${text.slice(to)}`;
await writeFile(page, await format(whole, { ...(await resolveConfig(page)), filepath: page }));
