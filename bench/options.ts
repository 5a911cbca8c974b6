import type { Settings } from './measure.js';
import { type Row, rows, servers, type Transport, transports } from './rows.js';

export interface Options {
  readonly rows: readonly Row[];
  readonly servers: readonly string[];
  readonly transports: readonly Transport[];
  readonly settings: Settings;
  /** Whether it is a run of everything, with the times that belong to it. */
  readonly whole: boolean;
  readonly out: string | undefined;
}

const full: Settings = { rounds: 5, seconds: 1, connections: 5_000 };
const short: Settings = { rounds: 3, seconds: 0.3, connections: 2_000 };

/** What the arguments of the command ask for; throws at one that it does not know. */
export function optionsOf(args: readonly string[]): Options {
  const quick = args.includes('quick');
  const given = new Map<string, string>();
  for (const arg of args) {
    if (arg === 'quick') continue;
    const [, name = '', value = ''] = /^(\w+)=(.+)$/.exec(arg) ?? [];
    if (!names.includes(name)) throw new Error(`'${arg}' is neither 'quick' nor one of ${names.join('=, ')}=.`);
    given.set(name, value);
  }
  const number = (name: keyof Settings): number => {
    const text = given.get(name);
    const value = text === undefined ? (quick ? short : full)[name] : Number(text);
    if (!(value > 0) || (name !== 'seconds' && !Number.isInteger(value))) {
      throw new Error(`'${name}=${text}' has to be a number over 0.`);
    }
    return value;
  };
  const chosen = choose('rows', given, new Map(rows.map((row) => [row.id, row])));
  const usual = quick ? ['rxjs-sockets', 'plain', 'tuned'] : servers;
  return {
    rows: chosen ?? rows,
    servers: choose('servers', given, new Map(servers.map((name) => [name, name]))) ?? usual,
    transports: choose('transports', given, new Map(transports.map((name) => [name, name]))) ?? transports,
    settings: { rounds: number('rounds'), seconds: number('seconds'), connections: number('connections') },
    whole: !quick && ['rows', 'servers', 'transports'].every((name) => !given.has(name)),
    out: given.get('out'),
  };
}

const names: readonly string[] = ['rows', 'servers', 'transports', 'rounds', 'seconds', 'connections', 'out'];

/** What `name=one,other` chooses of what there is, in its order. */
function choose<T>(name: string, given: Map<string, string>, all: ReadonlyMap<string, T>): T[] | undefined {
  return given
    .get(name)
    ?.split(',')
    .map((id) => {
      const one = all.get(id);
      if (one === undefined) throw new Error(`'${id}' is none of the ${name}: ${[...all.keys()].join(', ')}.`);
      return one;
    });
}
