import os from 'node:os';
import type { Results, Settings } from './measure.js';
import { type Row, rows, type Transport } from './rows.js';

/** What a run has found: what `bench/results.json` holds. */
export interface Run {
  readonly date: string;
  readonly machine: Machine;
  readonly settings: Settings;
  readonly rows: readonly Found[];
}

interface Machine {
  readonly node: string;
  readonly system: string;
  readonly processor: string;
  readonly cores: number;
}

/** One row over one transport. */
export interface Found {
  readonly id: string;
  readonly transport: Transport;
  readonly unit: string;
  readonly better: Row['better'];
  readonly target: number;
  readonly servers: Results;
}

export function machine(): Machine {
  const cpus = os.cpus();
  return {
    node: process.version,
    system: `${os.type()} ${os.release()}`,
    processor: cpus[0]?.model ?? 'unknown',
    cores: cpus.length,
  };
}

export function found(row: Row, transport: Transport, servers: Results): Found {
  const { id, unit, better, target } = row;
  return { id, transport, unit, better, target: target[transport], servers };
}

export function rowOf({ id }: Found): Row {
  const row = rows.find((each) => each.id === id);
  if (row === undefined) throw new Error(`There is no row '${id}'.`);
  return row;
}

/** Whether what we reached is what is aimed at; undefined where it was not measured. */
export function reached({ better, target, servers }: Found): boolean | undefined {
  const ours = servers['rxjs-sockets'];
  if (ours === undefined) return undefined;
  if ('failed' in ours) return false;
  if (ours.ratio === undefined) return undefined;
  return better === 'more' ? ours.ratio.median >= target : ours.ratio.median <= target;
}

/** Three digits that matter, and no more. */
export function digits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** What is aimed at: `≥ 12`, or `≤ 1` where less is better. */
export function aim({ better, target }: Found): string {
  return `${better === 'more' ? '≥' : '≤'} ${target}`;
}
