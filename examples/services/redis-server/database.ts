/** The keys with their values, in memory, within a limit, and each until its time. */
import { ErrorReply } from './resp.js';

interface Entry {
  readonly value: Buffer;
  /** On the clock of `performance.now()`, which nobody can set; `Infinity` for always. */
  expiresAt: number;
}

/** What an entry takes besides the bytes of its key and value, in bytes; about. */
const overhead = 400;

export class Database {
  /** How many bytes it takes. */
  memory = 0;
  private readonly maxMemory: number;
  private readonly entries = new Map<string, Entry>();
  private readonly expiring = new Set<string>();
  /** Goes round and round through those that expire. */
  private round = this.expiring.values();

  constructor(maxMemory: number) {
    this.maxMemory = maxMemory;
  }

  /** How many keys there are; one that has expired may be counted until it is swept. */
  get size(): number {
    return this.entries.size;
  }

  /** How many of them expire. */
  get expiringSize(): number {
    return this.expiring.size;
  }

  get(key: Buffer): Buffer | undefined {
    return this.live(nameOf(key))?.value;
  }

  /** Sets a key, for ever or until `expiresAt`. */
  set(key: Buffer, value: Buffer, expiresAt = Infinity): void {
    const name = nameOf(key);
    const before = this.live(name);
    const growth = sizeOf(name, value) - (before === undefined ? 0 : sizeOf(name, before.value));
    if (growth > 0 && this.memory + growth > this.maxMemory) {
      throw new ErrorReply("OOM command not allowed when used memory > 'maxmemory'.");
    }
    this.remove(name);
    this.memory += sizeOf(name, value);
    this.entries.set(name, { value: copyOf(value), expiresAt });
    if (expiresAt !== Infinity) this.expiring.add(name);
  }

  delete(key: Buffer): boolean {
    const name = nameOf(key);
    return this.live(name) !== undefined && this.remove(name);
  }

  /** Has a key expire; gives false where there is none. */
  expire(key: Buffer, expiresAt: number): boolean {
    const name = nameOf(key);
    const entry = this.live(name);
    if (entry === undefined) return false;
    entry.expiresAt = expiresAt;
    this.expiring.add(name);
    return true;
  }

  /** When a key expires: `Infinity` for never, `undefined` where there is none. */
  expiry(key: Buffer): number | undefined {
    return this.live(nameOf(key))?.expiresAt;
  }

  /** The keys that begin with `prefix`, one by one. */
  *keys(prefix: Buffer): Generator<Buffer> {
    const start = nameOf(prefix);
    for (const name of this.entries.keys()) {
      if (name.startsWith(start) && this.live(name) !== undefined) yield Buffer.from(name, 'latin1');
    }
  }

  clear(): void {
    this.entries.clear();
    this.expiring.clear();
    this.memory = 0;
  }

  // #region expiry
  /** The entry of a key, unless its time is over: then it goes now, though nobody has swept it. */
  private live(name: string): Entry | undefined {
    const entry = this.entries.get(name);
    if (entry === undefined || entry.expiresAt > performance.now()) return entry;
    this.remove(name);
    return undefined;
  }

  /** Looks at the next `most` of the keys that expire: those that nobody asks for must go as well. */
  sweep(most: number): void {
    for (let left = Math.min(most, this.expiring.size); left > 0; left--) {
      let next = this.round.next();
      if (next.done === true) next = (this.round = this.expiring.values()).next();
      if (next.done === true) return;
      this.live(next.value);
    }
  }
  // #endregion

  private remove(name: string): boolean {
    const entry = this.entries.get(name);
    if (entry === undefined) return false;
    this.memory -= sizeOf(name, entry.value);
    this.expiring.delete(name);
    return this.entries.delete(name);
  }
}

/** A string with one character for each byte: unlike a Buffer, it is the same key as another one with the same bytes. */
function nameOf(key: Buffer): string {
  return key.toString('latin1');
}

/** What was received is a view of a whole chunk, and a Buffer from Node's pool one of a whole page: a value would keep either. */
function copyOf(value: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(value.length);
  value.copy(copy);
  return copy;
}

function sizeOf(name: string, value: Buffer): number {
  return name.length + value.length + overhead;
}
