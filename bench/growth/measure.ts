import { Exchange, ServerProcess, type Native, once } from '../programs.js';
import { type Failed, startServer, type Tools } from '../measure.js';
import type { Transport } from '../rows.js';
import { type Spread, spread } from '../statistics.js';
import { type Costs, type Step, stepsOf } from './judge.js';
import type { Load, Series } from './series.js';

export interface GrowthSettings {
  readonly rounds: number;
  /** How much of the usual amount of work is done: 1 is all. */
  readonly share: number;
  /** The greatest of the points that are measured. */
  readonly most: number;
}

/** One server in one series over one transport. */
interface Grown {
  /** Microseconds of the server's processor time for the task. */
  readonly points: readonly { readonly n: number; readonly cost: Spread }[];
  readonly steps: readonly Step[];
}

/** One series over one transport. */
export interface FoundGrowth {
  readonly id: string;
  readonly transport: Transport;
  readonly servers: Readonly<Record<string, Grown | Failed>>;
}

export const ours = 'rxjs-sockets';
export const beside = 'tuned';

/** Measures all points with all servers in each round, in an order that is reversed from round to round. */
export async function measureGrowth(
  { id, points, beside: compared, kind, load }: Series,
  transport: Transport,
  { rounds, share, most }: GrowthSettings,
  tools: Tools,
): Promise<FoundGrowth> {
  const names = compared ? [ours, beside] : [ours];
  const turns = names.flatMap((name) => points.filter((n) => n <= most).map((n) => ({ name, n })));
  const stations = new Map<object, Station>();
  const costs = new Map<object, number[]>(turns.map((turn) => [turn, []]));
  const failed = new Map<string, Failed>();
  try {
    // The first round warms up.
    for (let round = 0; round <= rounds; round++) {
      for (const turn of round % 2 === 0 ? turns : turns.toReversed()) {
        const { name, n } = turn;
        if (failed.has(name)) continue;
        try {
          let station = stations.get(turn);
          if (station === undefined) {
            station = new Station(await startServer(name, kind(n), transport, tools), tools.native, load(n, share));
            stations.set(turn, station);
          }
          const cost = await station.sample();
          if (round > 0) costs.get(turn)!.push(cost);
        } catch (error) {
          failed.set(name, { failed: error instanceof Error ? error.message.trim() : String(error) });
        }
      }
    }
  } finally {
    for (const station of stations.values()) await station.stop();
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

/** A server of its own for each point, so that what one point leaves behind costs no other; idle between its turns. */
class Station {
  private readonly server: ServerProcess;
  private readonly native: Native;
  private readonly load: Load;
  private exchange: Exchange | undefined;

  constructor(server: ServerProcess, native: Native, load: Load) {
    this.server = server;
    this.native = native;
    this.load = load;
  }

  /** Microseconds of processor time for the task. */
  async sample(): Promise<number> {
    const { mode, args, times } = this.load;
    const { native, server } = this;
    // What is open stays open: only what is said counts.
    if (mode !== 'burst') this.exchange ??= await Exchange.open(native, mode, server.address, args);
    const before = await server.cpu();
    if (this.exchange === undefined) await once(native, mode, server.address, args);
    else await this.exchange.run(times);
    return ((await server.cpu()) - before) / times;
  }

  async stop(): Promise<void> {
    await this.exchange?.stop();
    await this.server.stop();
  }
}
