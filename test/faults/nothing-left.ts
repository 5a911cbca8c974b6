import { readdirSync } from 'node:fs';

/** How many resources of each kind this process has open. */
type Census = ReadonlyMap<string, number>;

/**
 * Runs `work`, then waits until no handle, timer or descriptor that `work` has opened, and no object that `work` has
 * marked, remains. After `rounds` rounds of the event loop, rejects with a list of what remains.
 */
export async function nothingLeftOf(
  work: (mark: <T extends object>(thing: T) => T) => Promise<void>,
  rounds = 2_000,
): Promise<void> {
  const marked: { readonly name: string; readonly ref: WeakRef<object> }[] = [];
  const before = census();
  await work((thing) => {
    marked.push({ name: thing.constructor.name, ref: new WeakRef(thing) });
    return thing;
  });
  let left: string[] = [];
  let collections = 0;
  for (let round = 0; round < rounds; round++) {
    await new Promise((resolve) => setImmediate(resolve));
    left = more(before, census());
    if (left.length > 0) continue;
    // A single garbage collection can miss objects. An object that survives 25 collections is still referenced.
    if (++collections > 25) break;
    gc?.();
    left = marked.filter(({ ref }) => ref.deref() !== undefined).map(({ name }) => name);
    if (left.length === 0) return;
  }
  left.push(...marked.filter(({ ref }) => ref.deref() !== undefined).map(({ name }) => name));
  throw new Error(`left over: ${[...new Set(left)].join(', ')}`);
}

function census(): Census {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) {
    // This check itself uses `setImmediate`.
    if (kind !== 'Immediate') counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  counts.set('descriptors', readdirSync('/proc/self/fd').length);
  return counts;
}

function more(before: Census, now: Census): string[] {
  return [...now]
    .filter(([kind, count]) => count > (before.get(kind) ?? 0))
    .map(([kind, count]) => `${count - (before.get(kind) ?? 0)} ${kind}`);
}
