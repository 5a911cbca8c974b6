import { readFile } from 'node:fs/promises';
import os from 'node:os';
import type { FoundGrowth, GrowthSettings } from './growth/measure.js';
import type { Results, Settings } from './measure.js';
import { type Row, rows, type Transport } from './rows.js';
import type { Spread } from './statistics.js';

/** The content of `bench/results.json`: a run of all rows, and a run that measures growth. */
export interface Report {
  readonly run?: Run;
  readonly growth?: GrowthRun;
}

export interface Occasion {
  readonly date: string;
  readonly machine: Machine;
}

export interface Run extends Occasion {
  readonly versions: Versions;
  readonly settings: Settings;
  readonly rows: readonly Found[];
}

export interface GrowthRun extends Occasion {
  readonly settings: GrowthSettings;
  readonly series: readonly FoundGrowth[];
}

interface Machine {
  readonly node: string;
  readonly system: string;
  readonly processor: string;
  readonly cores: number;
}

type Versions = Readonly<Record<(typeof packages)[number], string>>;

const packages = ['rxjs', 'split2', 'effect', 'ws'] as const;

export interface Found {
  readonly id: string;
  readonly transport: Transport;
  readonly unit: string;
  readonly better: Row['better'];
  readonly target: number;
  /**
   * Our targets against servers other than `plain`: for each server, the minimum of the ratio of our figure to that
   * server's figure.
   */
  readonly against?: Readonly<Record<string, number>>;
  readonly servers: Results;
}

export function occasion(): Occasion {
  const cpus = os.cpus();
  return {
    date: new Date().toISOString(),
    machine: {
      node: process.version,
      system: `${os.type()} ${os.release()}`,
      processor: cpus[0]?.model ?? 'unknown',
      cores: cpus.length,
    },
  };
}

export async function versions(): Promise<Versions> {
  const installed = packages.map(async (name) => {
    const manifest = await readFile(new URL(`../node_modules/${name}/package.json`, import.meta.url), 'utf8');
    return [name, (JSON.parse(manifest) as { version: string }).version] as const;
  });
  return Object.fromEntries(await Promise.all(installed)) as Versions;
}

export function found(row: Row, transport: Transport, servers: Results): Found {
  const { id, unit, better, target, against } = row;
  return { id, transport, unit, better, target: target[transport], ...(against && { against }), servers };
}

export function rowOf({ id }: Found): Row {
  const row = rows.find((each) => each.id === id);
  if (row === undefined) throw new Error(`There is no row '${id}'.`);
  return row;
}

/**
 * A target for the ratio of our figure to a server's figure: the minimum ratio, or, if less is better, the maximum
 * ratio.
 */
export interface Target {
  readonly to: string;
  readonly target: number;
  readonly better: Row['better'];
  /** The measured ratio. Undefined if one of the two servers was not measured, or failed. */
  readonly ratio: Spread | undefined;
  /**
   * Whether the ratio reaches the target. False if the server of this library failed. Undefined if there is no ratio
   * for a different reason.
   */
  readonly reached: boolean | undefined;
}

/** Returns the targets of a row. The target against the server `plain` comes first. */
export function targetsOf({ better, target, against = {}, servers }: Found): Target[] {
  const ours = servers['rxjs-sockets'];
  const aims = [['plain', target] as const, ...Object.entries(against)];
  return aims.map(([to, target]) => {
    if (ours === undefined || 'failed' in ours) {
      return { to, target, better, ratio: undefined, reached: ours && false };
    }
    const ratio = to === 'plain' ? ours.ratio : ours.against?.[to];
    const reached = ratio && (better === 'more' ? ratio.median >= target : ratio.median <= target);
    return { to, target, better, ratio, reached };
  });
}

/**
 * Formats a number with two decimals. A number from 10 on has one decimal, and a number from 100 on has no decimals.
 */
export function digits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** Formats a ratio as the median, the minimum and the maximum: `12.3 (11.8 to 13.0)`. */
export function range({ median, least, greatest }: Spread): string {
  return `${digits(median)} (${digits(least)} to ${digits(greatest)})`;
}

/** Formats a target: `≥ 12`, or `≤ 1` if less is better. */
export function aim({ better, target }: Pick<Target, 'better' | 'target'>): string {
  return `${better === 'more' ? '≥' : '≤'} ${target}`;
}
