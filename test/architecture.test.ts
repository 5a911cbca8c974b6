import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * The layers of src, the highest first. A file may import those of its own layer and of the layers below; what is
 * imported for its types alone (`import type`) does not count. A new file belongs into one of them.
 */
const layers: readonly (readonly string[])[] = [
  // the entry points
  ['index', 'codecs/index', 'interop/index', 'testing/index', 'ix'],
  // the streams of others
  ['interop/*'],
  // help for the tests of others
  ['testing/*'],
  // listen and connect
  ['server', 'client'],
  ['acceptor', 'roster', 'session', 'broadcast', 'operators/serve'],
  ['succession', 'attempt', 'preparation', 'redial', 'backoff', 'client-state'],
  ['socket-connection', 'timeouts', 'tls-upgrade'],
  // what is derived from channels and Flows
  ['operators/*', 'requests/*'],
  ['channel', 'connection', 'sending', 'feed'],
  // what can be held
  ['pulled-flow'],
  ['flow', 'flow-iterator', 'flow-batches', 'paced-iterator', 'multicast', 'hold', 'reported'],
  // bytes in, bytes out
  [
    'io/inbound',
    'io/outbound',
    'io/outbound-owner',
    'io/send-buffer',
    'io/buffer-pool',
    'io/parts',
    'io/send-lane',
    'io/passed-on',
    'io/pieces',
    'io/slab',
    'io/watermark',
    'io/waiters',
  ],
  ['options'],
  // what carries the bytes, and what lies in them
  ['transport/*', 'codecs/*', 'bytes'],
  ['proxy/*', 'codecs/utf8', 'io/byte-queue', 'io/segment', 'io/loan'],
  ['io/turn', 'io/silence', 'io/timer', 'codec', 'well-formed'],
  ['address', 'services'],
  ['errors', 'origin', 'fifo', 'abort-listeners'],
];

interface Import {
  readonly of: string;
  readonly isType: boolean;
}

interface Source {
  readonly name: string;
  readonly code: string;
  readonly imports: readonly Import[];
}

/** Every way to name another module, at the start of a line; in a comment it would stand after a star. */
const importing =
  /^(?:import|export)\s+(?<type>type\s)?(?:[^'";]*?\sfrom\s+)?'(?<of>[^']+)'|\bimport\('(?<dynamic>[^']+)'\)/gm;

const sources: readonly Source[] = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => {
    const code = readFileSync(join(root, 'src', file), 'utf8');
    const name = file.replace(/\.ts$/, '');
    const imports = Array.from(code.matchAll(importing), ({ groups = {} }) => {
      const of = groups['of'] ?? groups['dynamic'] ?? '';
      const isType = groups['type'] !== undefined;
      return { of: of.startsWith('.') ? join(dirname(name), of).replace(/\.js$/, '') : of, isType };
    });
    return { name, code, imports };
  });

const names = sources.map(({ name }) => name);
const isOwn = ({ of }: Import): boolean => names.includes(of);

/** What is loaded when the file is. */
const loads = ({ imports }: Source): string[] => imports.filter((one) => isOwn(one) && !one.isType).map(({ of }) => of);

/** The index of the layer of a file; a name counts before a folder. */
function layerOf(name: string): number {
  const byName = layers.findIndex((layer) => layer.includes(name));
  return byName === -1 ? layers.findIndex((layer) => layer.includes(`${dirname(name)}/*`)) : byName;
}

describe('the architecture', () => {
  it('is looked at', () => {
    expect(sources.length).toBeGreaterThan(40);
    expect(sources.find(({ name }) => name === 'server')?.imports).toContainEqual({ of: 'acceptor', isType: false });
    expect(sources.find(({ name }) => name === 'server')?.imports).toContainEqual({ of: 'hold', isType: true });
  });

  it('has a layer for every file, and a file for every entry of a layer', () => {
    expect(names.filter((name) => layerOf(name) === -1)).toEqual([]);
    const entries = layers.flat();
    const used = new Set(names.flatMap((name) => [name, `${dirname(name)}/*`]));
    expect(entries.filter((entry) => !used.has(entry))).toEqual([]);
    expect(new Set(entries).size).toBe(entries.length);
  });

  it('has imports that run downward, or sideways within a layer', () => {
    const upward = sources.flatMap((source) =>
      loads(source)
        .filter((of) => layerOf(of) < layerOf(source.name))
        .map((of) => `${source.name} -> ${of}`),
    );
    expect(upward).toEqual([]);
  });

  it('has no cycle of imports', () => {
    const done = new Set<string>();
    const visit = (name: string, path: readonly string[]): void => {
      if (path.includes(name)) throw new Error(`a cycle: ${[...path, name].join(' -> ')}`);
      if (done.has(name)) return;
      const source = sources.find((one) => one.name === name);
      for (const of of source === undefined ? [] : loads(source)) visit(of, [...path, name]);
      done.add(name);
    };
    for (const name of names) visit(name, []);
    expect(done.size).toBe(sources.length);
  });

  it('imports no index.ts, and not itself by its public name', () => {
    const wrong = sources.flatMap(({ name, imports }) =>
      imports
        .filter(({ of }) => /(^|\/)index$/.test(of) || of.startsWith('rxjs-sockets'))
        .map(({ of }) => `${name} -> ${of}`),
    );
    expect(wrong).toEqual([]);
  });

  it('imports nothing that is not there', () => {
    const missing = sources.flatMap(({ name, imports }) =>
      imports.filter((one) => !isOwn(one) && !/^(node:|rxjs$|ix\/)/.test(one.of)).map(({ of }) => `${name} -> ${of}`),
    );
    expect(missing).toEqual([]);
  });

  it('has node:net and node:tls in src/transport alone', () => {
    const users = sources.filter(({ imports }) => imports.some(({ of }) => /^(node:)?(net|tls)$/.test(of)));
    expect(users.map(({ name }) => name).filter((name) => !name.startsWith('transport/'))).toEqual([]);
    expect(users.length).toBeGreaterThan(0);
  });

  it('has ix in src/ix.ts alone, which nothing imports', () => {
    const users = sources.filter(({ imports }) => imports.some(({ of }) => /^ix(\/|$)/.test(of)));
    expect(users.map(({ name }) => name)).toEqual(['ix']);
    expect(sources.filter(({ imports }) => imports.some(({ of }) => of === 'ix'))).toEqual([]);
  });

  it('has public types that name nothing of ix', () => {
    const users = sources.filter(
      ({ name, code }) => name !== 'ix' && /AsyncIterableX|OperatorAsyncFunction/.test(code),
    );
    expect(users.map(({ name }) => name)).toEqual([]);
  });

  it('has entry points that consist of named re-exports', () => {
    for (const { name, code } of sources.filter((source) => /(^|\/)index$/.test(source.name))) {
      const rest = code.replace(/\/\*\*.*?\*\//gs, '').replace(/^export (?:type )?\{[^}]*\} from '[^']+';$/gm, '');
      expect(rest.trim(), name).toBe('');
    }
  });

  it('has names that tell what is in a file', () => {
    const vague = names.filter((name) => /(^|\/)(utils?|helpers?|common|misc|shared|lib)$/.test(name));
    expect(vague).toEqual([]);
    expect(names.filter((name) => !/^[a-z\d-]+(\/[a-z\d-]+)?$/.test(name))).toEqual([]);
  });
});
