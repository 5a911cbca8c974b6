import { type Answer, Awake, Exchange, IdleClients, load, type Native, ServerProcess } from './programs.js';
import type { Row, Transport } from './rows.js';
import { type Spread, spread } from './statistics.js';
import type { Workshop } from './library.js';

interface Measured {
  /** The measured figure, not yet divided by `Row.scale`. */
  readonly figure: Spread;
  /** The figure, divided by the figure of the server `plain` in the same round. */
  readonly ratio?: Spread;
  /** The server's processor time per unit of work, divided by the time of the server `plain` in the same round. */
  readonly cpu?: Spread;
  /** The server's processor time for each connection or message, in µs, if the row has `work`. */
  readonly time?: Spread;
  /**
   * For each server in `Row.against`: the figure of this library, divided by that server's figure in the same round.
   */
  readonly against?: Readonly<Record<string, Spread>>;
}

/** Why a server failed, such as a wrong byte or a missing answer. */
export interface Failed {
  readonly failed: string;
}

export type Results = Readonly<Record<string, Measured | Failed>>;

export interface Settings {
  readonly rounds: number;
  /** The time for each server in each round. */
  readonly seconds: number;
  readonly connections: number;
}

export interface Tools {
  readonly native: Native;
  readonly workshop: Workshop;
  readonly sockets: string;
}

interface Sample {
  readonly figure: number;
  /** Processor time per unit of work, in µs. */
  readonly cpu?: number;
}

/** For each server: the samples of all rounds, or, if the server failed, the reason for the failure. */
type Samples = Map<string, Sample[] | Failed>;

/** Measures one row over one transport. Each round measures all servers, in the reverse order of the round before. */
export async function measure(
  row: Row,
  servers: readonly string[],
  transport: Transport,
  settings: Settings,
  tools: Tools,
): Promise<Results> {
  const samples: Samples = new Map(servers.map((name) => [name, []]));
  const one = row.kind === 'idle' ? idleMemory : row.load[0] === 'trickle' ? trickle : throughput;
  const awake = row.awake === true ? await Awake.start(tools.native) : undefined;
  const running = new Map<string, ServerProcess>();
  try {
    // Round 0 is a warm-up. Servers that start anew in each round need no warm-up.
    for (let round = row.kind === 'idle' ? 1 : 0; round <= settings.rounds; round++) {
      for (const name of round % 2 === 0 ? servers : servers.toReversed()) {
        const list = samples.get(name)!;
        if ('failed' in list) continue;
        try {
          const start = () => startServer(name, row.kind, transport, tools);
          const sample = await one(row, name, start, running, settings, tools.native);
          if (round > 0) list.push(sample);
        } catch (error) {
          samples.set(name, { failed: error instanceof Error ? error.message.trim() : String(error) });
        }
      }
    }
  } finally {
    for (const server of running.values()) await server.stop();
    await awake?.stop();
  }
  return compare(samples, row);
}

let started = 0;

export function startServer(name: string, kind: string, transport: Transport, tools: Tools): Promise<ServerProcess> {
  // Each server gets a new path, because the server `plain` does not remove its socket file when it is stopped.
  const path = `${tools.sockets}/${started++}`;
  const program = name === 'limit' ? tools.native.limit : tools.workshop.server(name);
  return ServerProcess.start(program, kind, transport === 'tcp' ? 'tcp' : `unix:${path}`);
}

type Measure = (
  row: Row,
  name: string,
  start: () => Promise<ServerProcess>,
  running: Map<string, ServerProcess>,
  settings: Settings,
  native: Native,
) => Promise<Sample>;

const throughput: Measure = async (row, name, start, running, { seconds }, native) => {
  let server = running.get(name);
  if (server === undefined) running.set(name, (server = await start()));
  const args = name === 'ws' ? [...row.load, 'ws=1'] : row.load;
  const before = await server.cpu();
  const answer = await load(native, server.address, args, seconds);
  const figure = answer[row.figure];
  if (figure === undefined || !(figure > 0)) throw new Error('nothing was measured');
  return { figure, cpu: ((await server.cpu()) - before) / work(answer) };
};

/** Returns the amount of work, in a unit that is the same for all servers of the row. The warm-up counts, too. */
function work(answer: Answer): number {
  return answer['messages'] ?? answer['connections'] ?? answer['deliveries'] ?? answer['bytes']!;
}

/** Each connection has one message a second, so the processor time matters, and not the rate. */
const trickle: Measure = async (row, name, start, running, settings, native) => {
  let server = running.get(name);
  if (server === undefined) running.set(name, (server = await start()));
  const [mode = '', ...args] = row.load;
  const clients = await Exchange.open(native, mode, server.address, args);
  try {
    const seconds = Math.ceil(settings.seconds);
    const before = await server.cpu();
    await clients.run(seconds);
    const connections = Number(/\d+$/.exec(args.find((arg) => arg.startsWith('connections='))!)![0]);
    return { figure: ((await server.cpu()) - before) / (connections * seconds) };
  } finally {
    await clients.stop();
  }
};

const idleMemory: Measure = async (_row, name, start, running, { connections }, native) => {
  const server = await start();
  running.set(name, server);
  const clients: IdleClients[] = [];
  try {
    // Some connections are opened before the measurement, so that the measurement excludes the one-time costs of the
    // first connections.
    clients.push(await IdleClients.open(native, server.address, 100));
    const before = await server.memory();
    clients.push(await IdleClients.open(native, server.address, connections));
    return { figure: ((await server.memory()) - before) / connections };
  } finally {
    for (const each of clients) await each.stop();
    await server.stop();
    running.delete(name);
  }
};

function compare(samples: Samples, row: Row): Results {
  const others = Object.keys(row.against ?? {});
  const listOf = (name: string): readonly Sample[] => {
    const list = samples.get(name) ?? [];
    return 'failed' in list ? [] : list;
  };
  const results: Record<string, Measured | Failed> = {};
  for (const [name, list] of samples) {
    if ('failed' in list) {
      results[name] = list;
      continue;
    }
    const ratio = ratios(list, listOf('plain'), ({ figure }) => figure);
    const cpu = ratios(list, listOf('plain'), (sample) => sample.cpu);
    const against = others.flatMap((other) => {
      const found = name === 'rxjs-sockets' ? ratios(list, listOf(other), ({ figure }) => figure) : undefined;
      return found === undefined ? [] : [[other, found] as const];
    });
    results[name] = {
      figure: spread(list.map(({ figure }) => figure)),
      ...(ratio && { ratio }),
      ...(cpu && { cpu }),
      ...(row.work !== undefined && { time: spread(list.map((sample) => sample.cpu!)) }),
      ...(against.length > 0 && { against: Object.fromEntries(against) }),
    };
  }
  return results;
}

function ratios(
  list: readonly Sample[],
  bases: readonly Sample[],
  of: (sample: Sample) => number | undefined,
): Spread | undefined {
  const found = list.flatMap((sample, round) => {
    const [one, other] = [of(sample), bases[round] && of(bases[round])];
    return one === undefined || other === undefined ? [] : [one / other];
  });
  return found.length === 0 ? undefined : spread(found);
}
