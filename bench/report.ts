// Makes the tables and pictures of docs/performance.md from the results of `npm run bench`:
//   npm run bench:report -- [FILE] [FOLDER]     default: bench/results.json and docs
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { curves } from './growth/picture.js';
import { details, summary } from './growth/report.js';
import { bars } from './picture.js';
import {
  aim,
  digits,
  type Found,
  type GrowthRun,
  type Occasion,
  range,
  type Report,
  rowOf,
  type Run,
  type Target,
  targetsOf,
} from './results.js';
import { servers, transports } from './rows.js';
import { table } from './table.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const [file = join(root, 'bench/results.json'), folder = join(root, 'docs')] = process.argv.slice(2);
const page = join(folder, 'performance.md');
const titles = { tcp: 'TCP', unix: 'Unix sockets' } as const;

/**
 * Formats a server's ratio to the server `plain`. For `plain` itself, and for a server without a ratio, formats the
 * figure.
 */
function cell(found: Found, name: string): string {
  const measured = found.servers[name];
  if (measured === undefined) return '';
  if ('failed' in measured) return 'failed';
  const { figure, ratio } = measured;
  if (name === 'plain' || ratio === undefined) return `${digits(figure.median / rowOf(found).scale)} ${found.unit}`;
  return range(ratio);
}

const verdict = ({ reached }: Target): string => ({ true: 'yes', false: 'no', undefined: '' })[String(reached)]!;

function againstPlain(rows: readonly Found[]): string {
  const present = servers.filter((name) => rows.some((row) => name in row.servers));
  const body = rows.map((row) => {
    const plain = targetsOf(row)[0]!;
    return [rowOf(row).title, aim(plain), verdict(plain), ...present.map((name) => cell(row, name))];
  });
  return table(['work', 'target', 'reached', ...present], body);
}

/** Makes the table of the processor time for each connection and each message. */
function processorTime(rows: readonly Found[]): string[] {
  const some = rows.filter((row) => rowOf(row).work !== undefined);
  const present = servers.filter((name) => some.some((row) => name in row.servers));
  const body = some.map((row) => {
    const times = present.map((name) => {
      const measured = row.servers[name];
      return measured === undefined || 'failed' in measured || measured.time === undefined
        ? ''
        : digits(measured.time.median);
    });
    return [rowOf(row).title, rowOf(row).work!, ...times];
  });
  return body.length === 0
    ? []
    : ['The processor time of the server, in µs:', table(['work', 'for each', ...present], body)];
}

/**
 * Makes the table of our targets against servers other than `plain`. If the rows have no such target, returns no table.
 */
function againstOthers(rows: readonly Found[]): string[] {
  const body = rows.flatMap((row) =>
    targetsOf(row)
      .slice(1)
      .map((one) => [
        rowOf(row).title,
        one.to,
        aim(one),
        verdict(one),
        one.ratio === undefined ? '' : range(one.ratio),
      ]),
  );
  return body.length === 0 ? [] : [table(['work', 'against', 'target', 'reached', 'rxjs-sockets'], body)];
}

/** Makes the table at the top of the page: our ratio to `plain` in each row. */
function inShort(rows: readonly Found[]): string {
  const body = [...new Set(rows.map(({ id }) => id))].map((id) => {
    const found = rows.filter((row) => row.id === id);
    const cells = transports.map((transport) => {
      const ratio = found.find((row) => row.transport === transport);
      const ours = ratio && targetsOf(ratio)[0]?.ratio;
      return ours === undefined ? '' : digits(ours.median);
    });
    const { title, better } = rowOf(found[0]!);
    return [title, ...cells, better === 'more' ? 'more is better' : 'less is better'];
  });
  return table(['work', ...transports.map((transport) => titles[transport]), ''], body);
}

function measuredOn({ date, machine }: Occasion): string {
  return `Measured on ${date.slice(0, 10)}: ${machine.cores} cores of ${machine.processor}, ${machine.system}, Node ${machine.node}`;
}

async function everything(run: Run): Promise<string> {
  const { rounds, seconds } = run.settings;
  const versions = Object.entries(run.versions).map(([name, version]) => `${name} ${version}`);
  const parts = [
    `${measuredOn(run)}, ${versions.join(', ')}; medians of ${rounds} rounds of ${seconds} s for each server, minimum and maximum in brackets.`,
  ];
  for (const transport of transports) {
    const rows = run.rows.filter((row) => row.transport === transport);
    if (rows.length === 0) continue;
    const title = titles[transport];
    await writeFile(join(folder, `performance/${transport}.svg`), bars(`${title}: ratio to plain node:net`, rows));
    parts.push(`### ${title}`, `![${title}, as ratios to plain](performance/${transport}.svg)`, againstPlain(rows));
    parts.push(...againstOthers(rows), ...processorTime(rows));
  }
  return parts.join('\n\n');
}

async function growth(run: GrowthRun): Promise<string> {
  const parts = [
    `${measuredOn(run)}; medians of ${run.settings.rounds} rounds, minimum and maximum in brackets.`,
    summary(run.series),
  ];
  for (const transport of transports) {
    const found = run.series.filter((one) => one.transport === transport);
    if (found.length === 0) continue;
    const title = titles[transport];
    await writeFile(join(folder, `performance/growth-${transport}.svg`), curves(`${title}: how cost grows`, found));
    parts.push(`![${title}, what one of each costs](performance/growth-${transport}.svg)`);
  }
  return [...parts, ...details(run.series)].join('\n\n');
}

function fill(text: string, name: string, content: string): string {
  const start = `<!-- ${name}: written by npm run bench:report -->\n`;
  const end = `<!-- end of the ${name} -->\n`;
  const from = text.indexOf(start);
  const to = text.indexOf(end);
  if (from < 0 || to < from) throw new Error(`${page} has no comments that mark the place of the ${name}.`);
  return `${text.slice(0, from)}${start}\n${content}\n\n${text.slice(to)}`;
}

const report = JSON.parse(await readFile(file, 'utf8')) as Report;
await mkdir(join(folder, 'performance'), { recursive: true });
let text = await readFile(page, 'utf8');
if (report.run !== undefined) {
  text = fill(text, 'summary', inShort(report.run.rows));
  text = fill(text, 'figures', await everything(report.run));
}
if (report.growth !== undefined) text = fill(text, 'growth', await growth(report.growth));
await writeFile(page, await format(text, { ...(await resolveConfig(join(root, 'docs/x.md'))), filepath: page }));
