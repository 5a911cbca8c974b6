/** The commands: for each command, the allowed number of arguments, and a function that returns the answer. */
import type { Client } from './client.js';
import { ErrorReply, type Value } from './resp.js';

/**
 * `words` has the minimum and maximum number of arguments. The server checks the number of arguments before it calls
 * `value` or `values`.
 */
type Command = { readonly words: readonly [least: number, most: number]; readonly summary: string } & (
  | { readonly value: (client: Client, ...words: Buffer[]) => Value }
  | { readonly values: (client: Client, ...words: Buffer[]) => Iterable<Value> }
);

const maxKeys = 10_000;
const any = Infinity;

// #region commands
const table: Readonly<Record<string, Command>> = {
  get: {
    words: [1, 1],
    summary: 'Gives the value of a key',
    value: ({ service }, key) => service.database.get(key) ?? null,
  },
  set: {
    words: [2, any],
    summary: 'Sets a key: SET key value [NX | XX] [EX seconds | PX milliseconds]',
    value: set,
  },
  del: {
    words: [1, any],
    summary: 'Deletes keys, and returns how many existed',
    value: ({ service }, ...keys) => keys.filter((key) => service.database.delete(key)).length,
  },
  exists: {
    words: [1, any],
    summary: 'Returns how many of the keys exist',
    value: ({ service }, ...keys) => keys.filter((key) => service.database.get(key) !== undefined).length,
  },
  incr: {
    words: [1, 1],
    summary: 'Adds one to the number at a key',
    value: (client, key) => add(client, key, 1n),
  },
  decr: {
    words: [1, 1],
    summary: 'Subtracts one from the number at a key',
    value: (client, key) => add(client, key, -1n),
  },
  expire: {
    words: [2, 2],
    summary: 'Makes a key expire after that many seconds',
    value: ({ service }, key, time) => Number(service.database.expire(key, deadline(time, 1_000, 'expire'))),
  },
  pexpire: {
    words: [2, 2],
    summary: 'Makes a key expire after that many milliseconds',
    value: ({ service }, key, time) => Number(service.database.expire(key, deadline(time, 1, 'pexpire'))),
  },
  ttl: {
    words: [1, 1],
    summary: 'Returns the seconds until a key expires; -1 for never, -2 if there is no such key',
    value: (client, key) => timeToLive(client, key, 1_000),
  },
  pttl: {
    words: [1, 1],
    summary: 'Returns the milliseconds until a key expires; -1 for never, -2 if there is no such key',
    value: (client, key) => timeToLive(client, key, 1),
  },
  keys: {
    words: [1, 1],
    summary: `Lists the keys, at most ${maxKeys}, or those that begin with a prefix: KEYS user:*`,
    value: keys,
  },
  dbsize: {
    words: [0, 0],
    summary: 'Counts the keys',
    value: ({ service }) => service.database.size,
  },
  flushall: {
    words: [0, 1],
    summary: 'Deletes all keys',
    value: flushAll,
  },
  publish: {
    words: [2, 2],
    summary: 'Sends a message to a channel, and returns the number of receivers',
    value: ({ service }, name, message) => service.topics.publish(name, message),
  },
  subscribe: {
    words: [1, any],
    summary: 'Subscribes to channels',
    values: (client, ...names) => client.subscribe(names),
  },
  unsubscribe: {
    words: [0, any],
    summary: 'Unsubscribes from channels, or from all of them',
    values: (client, ...names) => client.unsubscribe(names),
  },
  ping: {
    words: [0, 1],
    summary: 'Checks that the server answers',
    value: ping,
  },
  echo: {
    words: [1, 1],
    summary: 'Returns its argument',
    value: (_, message) => message,
  },
  select: {
    words: [1, 1],
    summary: 'Selects a database; the only one is 0',
    value: select,
  },
  hello: {
    words: [0, any],
    summary: 'Negotiates the protocol version, which is 2',
    value: hello,
  },
  client: {
    words: [1, any],
    summary: 'Describes the client: CLIENT SETNAME name, GETNAME, SETINFO attribute value',
    value: clientCommand,
  },
  config: {
    words: [1, any],
    summary: 'Returns settings of the server: CONFIG GET name',
    value: config,
  },
  command: {
    words: [0, any],
    summary: 'Lists the commands: COMMAND, COMMAND COUNT, COMMAND DOCS',
    value: describe,
  },
  info: {
    words: [0, any],
    summary: 'Describes the server, in sections: server, clients, memory, stats, keyspace',
    value: info,
  },
  reset: {
    words: [0, 0],
    summary: 'Ends all subscriptions, and clears the name',
    value: (client) => {
      client.reset();
      return 'RESET';
    },
  },
  quit: {
    words: [0, any],
    summary: 'Ends the connection',
    value: () => 'OK',
  },
};
// #endregion

export const commands: ReadonlyMap<string, Command> = new Map(Object.entries(table));

function set({ service: { database } }: Client, key: Buffer, value: Buffer, ...options: Buffer[]): Value {
  let expiresAt: number | undefined;
  let condition: 'nx' | 'xx' | undefined;
  for (let index = 0; index < options.length; index++) {
    const option = lower(options[index]!);
    if ((option === 'nx' || option === 'xx') && condition === undefined) condition = option;
    else if ((option === 'ex' || option === 'px') && expiresAt === undefined && index + 1 < options.length) {
      expiresAt = deadline(options[++index]!, option === 'ex' ? 1_000 : 1, 'set', 1);
    } else throw new ErrorReply('ERR syntax error');
  }
  if (condition !== undefined && (database.get(key) === undefined) !== (condition === 'nx')) return null;
  database.set(key, value, expiresAt);
  return 'OK';
}

function add({ service: { database } }: Client, key: Buffer, amount: bigint): Value {
  const sum = integer(database.get(key) ?? Buffer.from('0')) + amount;
  if (BigInt.asIntN(64, sum) !== sum) throw new ErrorReply('ERR increment or decrement would overflow');
  database.set(key, Buffer.from(String(sum)), database.expiry(key));
  return sum;
}

function timeToLive({ service }: Client, key: Buffer, unit: number): number {
  const expiresAt = service.database.expiry(key);
  if (expiresAt === undefined) return -2;
  return expiresAt === Infinity ? -1 : Math.round((expiresAt - performance.now()) / unit);
}

/** Matches prefixes only, because matching a general pattern from a stranger could take long for each key. */
function keys({ service }: Client, pattern: Buffer): Value {
  const text = pattern.toString('latin1');
  const prefix = text.replace(/\*$/, '');
  if (/[*?[\\]/.test(prefix)) throw new ErrorReply('ERR KEYS takes the beginning of a key, followed by *');
  if (prefix === text) return service.database.get(pattern) === undefined ? [] : [pattern];
  const found: Buffer[] = [];
  for (const key of service.database.keys(Buffer.from(prefix, 'latin1'))) {
    if (found.push(key) > maxKeys) throw new ErrorReply(`ERR more than ${maxKeys} keys match`);
  }
  return found;
}

function flushAll({ service }: Client, how?: Buffer): Value {
  if (how !== undefined && !/^a?sync$/i.test(lower(how))) throw new ErrorReply('ERR syntax error');
  service.database.clear();
  return 'OK';
}

function ping(client: Client, message?: Buffer): Value {
  // A client that has subscribed to a channel gets the answer to PING in the form of a message.
  if (client.isSubscribed) return [Buffer.from('pong'), message ?? Buffer.alloc(0)];
  return message ?? 'PONG';
}

function select(_: Client, index: Buffer): Value {
  if (integer(index) !== 0n) throw new ErrorReply('ERR DB index is out of range');
  return 'OK';
}

function hello(_: Client, version?: Buffer, option?: Buffer): Value {
  if (version !== undefined && !/^\d+$/.test(lower(version))) {
    throw new ErrorReply('ERR Protocol version is not an integer or out of range');
  }
  if (version !== undefined && lower(version) !== '2') throw new ErrorReply('NOPROTO unsupported protocol version');
  if (option !== undefined) throw new ErrorReply('ERR HELLO takes no options here');
  const facts = { server: 'redis', version: '7.0.0', proto: 2, mode: 'standalone', role: 'master', modules: [] };
  return Object.entries(facts).flatMap(([name, fact]) => [
    Buffer.from(name),
    typeof fact === 'string' ? Buffer.from(fact) : fact,
  ]);
}

function clientCommand(client: Client, word: Buffer, ...words: Buffer[]): Value {
  const [name] = words;
  switch (lower(word)) {
    case 'setname':
      if (name === undefined || words.length > 1) throw wrongNumber('client|setname');
      if (name.length > 64 || /[^!-~]/.test(name.toString('latin1'))) {
        throw new ErrorReply('ERR Client names cannot contain spaces, newlines or special characters.');
      }
      client.name = Buffer.from(name);
      return 'OK';
    case 'getname':
      return client.name.length === 0 ? null : client.name;
    case 'setinfo':
      return 'OK';
    default:
      throw new ErrorReply('ERR unknown subcommand. CLIENT takes SETNAME, GETNAME and SETINFO.');
  }
}

/** Settings that benchmark programs ask for. The settings say whether the server saves data. */
const settings: Readonly<Record<string, string>> = { save: '', appendonly: 'no' };

function config(_: Client, word: Buffer, ...names: Buffer[]): Value {
  if (lower(word) !== 'get') throw new ErrorReply('ERR unknown subcommand. CONFIG takes GET.');
  if (names.length === 0) throw wrongNumber('config|get');
  return names
    .map(lower)
    .filter((name) => Object.hasOwn(settings, name))
    .flatMap((name) => [Buffer.from(name), Buffer.from(settings[name]!)]);
}

/** Describes commands. redis-cli uses the descriptions for completion and hints. */
function describe(_: Client, word?: Buffer, ...names: Buffer[]): Value {
  const all = [...commands];
  const chosen = names.length === 0 ? all : all.filter(([name]) => names.some((wanted) => lower(wanted) === name));
  switch (word && lower(word)) {
    case undefined:
    case 'info':
      // Redis counts the name of the command as an argument. If a command has a minimum number of arguments, but may
      // have more, Redis shows the minimum as a negative number. The zeros mean that the server does not tell the
      // positions of keys.
      return chosen.map(([name, { words }]) => {
        const [least, most] = words;
        return [Buffer.from(name), least === most ? least + 1 : -(least + 1), [], 0, 0, 0];
      });
    case 'count':
      return commands.size;
    case 'docs':
      return chosen.flatMap(([name, { summary }]) => [
        Buffer.from(name),
        [Buffer.from('summary'), Buffer.from(summary), Buffer.from('group'), Buffer.from('generic')],
      ]);
    default:
      throw new ErrorReply('ERR unknown subcommand. COMMAND takes COUNT, DOCS and INFO.');
  }
}

function info({ service }: Client, ...sections: Buffer[]): Value {
  const { database, topics, started, answered, clients } = service;
  const all: Readonly<Record<string, Readonly<Record<string, string | number>>>> = {
    Server: {
      redis_version: '7.0.0',
      redis_mode: 'standalone',
      process_id: process.pid,
      uptime_in_seconds: Math.floor((performance.now() - started) / 1_000),
    },
    Clients: { connected_clients: clients() },
    Memory: { used_memory: database.memory },
    Persistence: { loading: 0 },
    Stats: { total_commands_processed: answered, pubsub_channels: topics.size },
    Replication: { role: 'master' },
    Keyspace: database.size === 0 ? {} : { db0: `keys=${database.size},expires=${database.expiringSize},avg_ttl=0` },
  };
  const wanted = new Set(sections.map(lower));
  const isWanted = (title: string): boolean =>
    wanted.size === 0 || ['all', 'default', 'everything', title.toLowerCase()].some((name) => wanted.has(name));
  const lines = Object.entries(all)
    .filter(([title]) => isWanted(title))
    .map(([title, facts]) => [`# ${title}`, ...Object.entries(facts).map(([name, fact]) => `${name}:${fact}`), '']);
  return Buffer.from(lines.flat().join('\r\n'));
}

/**
 * Returns the time at which a duration ends that begins now. `time` is the duration in units of `unit` milliseconds.
 */
function deadline(time: Buffer, unit: number, command: string, least = -any): number {
  const value = Number(integer(time)) * unit;
  if (value < least || !Number.isSafeInteger(value))
    throw new ErrorReply(`ERR invalid expire time in '${command}' command`);
  return performance.now() + value;
}

function integer(word: Buffer): bigint {
  const text = word.length <= 20 ? word.toString('latin1') : '';
  const value = /^(0|-?[1-9]\d*)$/.test(text) ? BigInt(text) : undefined;
  if (value === undefined || BigInt.asIntN(64, value) !== value) {
    throw new ErrorReply('ERR value is not an integer or out of range');
  }
  return value;
}

function lower(word: Buffer): string {
  return word.toString('latin1').toLowerCase();
}

function wrongNumber(name: string): ErrorReply {
  return new ErrorReply(`ERR wrong number of arguments for '${name}' command`);
}
