import { Exchange, ServerProcess, type Native, once } from '../programs.js';
import { type Failed, startServer, type Tools } from '../measure.js';
import type { Transport } from '../rows.js';
import { type Spread, spread } from '../statistics.js';
import { type Costs, type Step, stepsOf } from './judge.js';
import type { Load, Series } from './series.js';

export interface GrowthSettings {
  readonly rounds: number;
  /** The share of the usual amount of work; 1 is all of the usual work. */
  readonly share: number;
  readonly most: number;
}

interface Grown {
  /** For each point, the server's processor time for the task, in microseconds. */
  readonly points: readonly { readonly n: number; readonly cost: Spread }[];
  readonly steps: readonly Step[];
}

export interface FoundGrowth {
  readonly id: string;
  readonly transport: Transport;
  readonly servers: Readonly<Record<string, Grown | Failed>>;
}

export const ours = 'rxjs-sockets';

/**
 * Simpler servers that do the same work. If the cost of a simpler server grows as much, this library is not the cause
 * of the growth.
 */
export const beside: Readonly<Record<string, string>> = { tuned: 'node:net', limit: 'C' };

/**
 * Measures all points with all servers in each round, and reverses the order after each round. Each measurement starts
 * a new server process, because the memory layout of a process is random, and strongly affects the time of a large
 * task.
 */
export async function measureGrowth(
  { id, points, beside: compared, kind, load }: Series,
  transport: Transport,
  { rounds, share, most }: GrowthSettings,
  tools: Tools,
): Promise<FoundGrowth> {
  const names = compared ? [ours, ...Object.keys(beside)] : [ours];
  const turns = names.flatMap((name) => points.filter((n) => n <= most).map((n) => ({ name, n })));
  const costs = new Map<object, number[]>(turns.map((turn) => [turn, []]));
  const failed = new Map<string, Failed>();
  for (let round = 0; round < rounds; round++) {
    for (const turn of round % 2 === 0 ? turns : turns.toReversed()) {
      const { name, n } = turn;
      if (failed.has(name)) continue;
      try {
        const server = await startServer(name, kind(n), transport, tools);
        costs.get(turn)!.push(await costOf(server, tools.native, load(n, share)));
      } catch (error) {
        failed.set(name, { failed: error instanceof Error ? error.message.trim() : String(error) });
      }
    }
  }
  const grown = (name: string): Grown => {
    const list: Costs[] = turns
      .filter((turn) => turn.name === name)
      .map((turn) => ({ n: turn.n, costs: costs.get(turn)! }));
    return { points: list.map(({ n, costs }) => ({ n, cost: spread(costs) })), steps: stepsOf(list) };
  };
  return {
    id,
    transport,
    servers: Object.fromEntries(names.map((name) => [name, failed.get(name) ?? grown(name)])),
  };
}

/** Measures the processor time that a warm server needs for the task, in microseconds. Then stops the server. */
async function costOf(server: ServerProcess, native: Native, { mode, args, times }: Load): Promise<number> {
  let exchange: Exchange | undefined;
  try {
    // These connections stay open during the measurement, so that only the messages count.
    if (mode !== 'burst') exchange = await Exchange.open(native, mode, server.address, args);
    const work = (): Promise<void> => exchange?.run(times) ?? once(native, mode, server.address, args);
    await work();
    const before = await server.cpu();
    await work();
    return ((await server.cpu()) - before) / times;
  } finally {
    await exchange?.stop();
    await server.stop();
  }
}
