import { Arena, type Kind, type Measures, type Where } from './processes.js';

/**
 * The permitted growth of the heap in bytes: `warmUp` for the runtime until everything is compiled, and `each` for
 * every closed connection. A leaked connection would take thousands of bytes.
 */
const warmUp = 2 * 2 ** 20;
const each = 20;

type Print = (line: string) => void;

export interface Verdict {
  readonly ok: boolean;
  readonly text: string;
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

function row(name: string, { connections, heapUsed, rss, descriptors }: Measures): string {
  return `${name.padEnd(22)} ${connections} connections, heap ${mib(heapUsed)}, resident ${mib(rss)}, ${descriptors} descriptors`;
}

function verdictOf(problems: readonly string[], praise: string): Verdict {
  const ok = problems.length === 0;
  return { ok, text: ok ? `OK: ${praise}` : `FAILED: ${problems.join('; ')}` };
}

/** The growth between two measurements of a host with the same number of connections. */
function growth(before: Measures, after: Measures, passed: number): { slope: number; problems: string[] } {
  const slope = (after.heapUsed - before.heapUsed) / passed;
  const problems = [];
  if (after.connections !== before.connections) {
    problems.push(`${after.connections - before.connections} connections are left`);
  }
  if (after.descriptors !== before.descriptors) {
    problems.push(`${after.descriptors - before.descriptors} descriptors did not return`);
  }
  const most = warmUp + each * passed;
  const grown = after.heapUsed - before.heapUsed;
  if (grown > most) problems.push(`the heap grew by ${mib(grown)}, of ${mib(most)} at most`);
  return { slope, problems };
}

/** Holds `held` idle connections for `seconds` seconds while other connections open and close. */
export function soak(library: string, seconds: number, held: number, print: Print): Promise<Verdict> {
  return Arena.use(library, 'paced', 'tcp', 3, async (arena) => {
    const batch = 500;
    await arena.churn(2 * batch);
    const before = await arena.measureAt(0);
    await arena.hold(held);
    const first = await arena.measureAt(held);
    print(row('at the beginning', first));
    const start = performance.now();
    const interval = Math.max(1, seconds / 12);
    let passed = 0;
    let shown = 0;
    for (let time = 0; time < seconds; time = (performance.now() - start) / 1_000) {
      await arena.churn(batch);
      passed += batch;
      if (time - shown < interval) continue;
      shown = time;
      print(row(`after ${time.toFixed(0)} s, ${passed}`, await arena.measureAt(held)));
    }
    const last = await arena.measureAt(held);
    await arena.leave();
    const after = await arena.measureAt(0);
    print(row('at the end', after));
    const { slope, problems } = growth(first, last, passed);
    problems.push(...growth(before, after, passed).problems);
    return verdictOf(
      problems,
      `${passed} connections came and went in ${seconds} s past ${held} idle ones, ${slope.toFixed(1)} bytes of heap each`,
    );
  });
}

/** Compares the memory of `count` idle connections between the library and plain Node. */
export async function idle(library: string, count: number, most: number, print: Print): Promise<Verdict> {
  const problems: string[] = [];
  const ratios: string[] = [];
  for (const where of ['tcp', 'unix'] as const satisfies readonly Where[]) {
    const results = new Map<Kind, Measures>();
    for (const kind of ['plain', 'paced', 'handled'] as const satisfies readonly Kind[]) {
      const measures = await Arena.use(library, kind, where, 4, async (arena) => {
        await arena.hold(count);
        return arena.measureAt(count);
      });
      results.set(kind, measures);
      print(row(`${where} ${kind}`, measures));
    }
    const plain = results.get('plain')!.rss;
    for (const kind of ['paced', 'handled'] as const) {
      const ratio = results.get(kind)!.rss / plain;
      ratios.push(`${where} ${kind} ${ratio.toFixed(2)}`);
      if (ratio > most)
        problems.push(`${where} ${kind} needs ${ratio.toFixed(2)} times as much as node:net, of ${most}`);
    }
  }
  return verdictOf(problems, `${count} idle connections, resident memory over that of node:net: ${ratios.join(', ')}`);
}

/** Opens and closes `count` connections, and compares the heap after the first fifth with the heap at the end. */
export async function churn(library: string, count: number, where: Where, print: Print): Promise<Verdict> {
  return Arena.use(library, 'paced', where, 3, async (arena) => {
    const warm = Math.ceil(count / 5);
    await arena.churn(warm);
    const before = await arena.measureAt(0);
    print(row(`${where} after ${warm}`, before));
    await arena.churn(count - warm);
    const after = await arena.measureAt(0);
    print(row(`${where} after ${count}`, after));
    const { slope, problems } = growth(before, after, count - warm);
    return verdictOf(problems, `${where}: ${count} connections came and went, ${slope.toFixed(1)} bytes of heap each`);
  });
}
