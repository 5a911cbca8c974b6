import type { GrowthSettings } from './growth/measure.js';
import { type Series, series } from './growth/series.js';
import type { Settings } from './measure.js';
import { type Row, rows, servers, type Transport, transports } from './rows.js';

interface Common {
  readonly transports: readonly Transport[];
  /**
   * Whether the run measures everything. Without the option `out`, only a run that measures everything writes to
   * `bench/results.json`.
   */
  readonly whole: boolean;
  readonly out: string | undefined;
}

export interface RunOptions extends Common {
  readonly rows: readonly Row[];
  readonly servers: readonly string[];
  readonly settings: Settings;
}

export interface GrowthOptions extends Common {
  readonly series: readonly Series[];
  readonly settings: GrowthSettings;
}

const full: Settings = { rounds: 5, seconds: 1, connections: 5_000 };
const short: Settings = { rounds: 3, seconds: 0.3, connections: 2_000 };
const growing: GrowthSettings = { rounds: 5, share: 1, most: Infinity };

export function optionsOf(args: readonly string[]): RunOptions | GrowthOptions {
  if (args[0] === 'growth') {
    const given = new Given(args.slice(1), ['rows', 'transports', 'rounds', 'share', 'most', 'out']);
    return {
      series: given.choose('rows', new Map(series.map((one) => [one.id, one]))),
      transports: given.choose('transports', new Map(transports.map((name) => [name, name]))),
      settings: {
        rounds: given.whole('rounds', growing.rounds),
        share: given.number('share', growing.share),
        most: given.number('most', growing.most),
      },
      whole: !given.has('rows', 'transports', 'share', 'most'),
      out: given.get('out'),
    };
  }
  const quick = args[0] === 'quick';
  const names = ['rows', 'servers', 'transports', 'rounds', 'seconds', 'connections', 'out'];
  const given = new Given(quick ? args.slice(1) : args, names);
  const { rounds, seconds, connections } = quick ? short : full;
  const usual = quick ? ['rxjs-sockets', 'plain', 'tuned'] : servers;
  return {
    rows: given.choose('rows', new Map(rows.map((row) => [row.id, row]))),
    servers: given.choose('servers', new Map(servers.map((name) => [name, name])), usual),
    transports: given.choose('transports', new Map(transports.map((name) => [name, name]))),
    settings: {
      rounds: given.whole('rounds', rounds),
      seconds: given.number('seconds', seconds),
      connections: given.whole('connections', connections),
    },
    whole: !quick && !given.has('rows', 'servers', 'transports'),
    out: given.get('out'),
  };
}

class Given {
  private readonly values = new Map<string, string>();

  constructor(args: readonly string[], names: readonly string[]) {
    for (const arg of args) {
      const [, name = '', value = ''] = /^(\w+)=(.+)$/.exec(arg) ?? [];
      if (!names.includes(name)) {
        throw new Error(
          `'${arg}' is neither 'quick' nor 'growth', which come first, nor one of ${names.join('=, ')}=.`,
        );
      }
      this.values.set(name, value);
    }
  }

  get(name: string): string | undefined {
    return this.values.get(name);
  }

  has(...names: readonly string[]): boolean {
    return names.some((name) => this.values.has(name));
  }

  number(name: string, otherwise: number): number {
    const text = this.values.get(name);
    const value = text === undefined ? otherwise : Number(text);
    if (!(value > 0)) throw new Error(`'${name}=${text}' has to be a number over 0.`);
    return value;
  }

  whole(name: string, otherwise: number): number {
    const value = this.number(name, otherwise);
    if (!Number.isInteger(value)) throw new Error(`'${name}=${value}' has to be a whole number.`);
    return value;
  }

  /** Returns the items that the argument `name=one,other` selects. If that argument is missing, returns `usual`. */
  choose<T>(name: string, all: ReadonlyMap<string, T>, usual: readonly T[] = [...all.values()]): readonly T[] {
    const chosen = this.values.get(name)?.split(',');
    if (chosen === undefined) return usual;
    return chosen.map((id) => {
      const one = all.get(id);
      if (one === undefined) throw new Error(`'${id}' is none of the ${name}: ${[...all.keys()].join(', ')}.`);
      return one;
    });
  }
}
