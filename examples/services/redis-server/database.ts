/** A database: keys and their values in memory. The total size is limited, and keys can expire. */
import { ErrorReply } from './resp.js';

interface Entry {
  readonly value: Buffer;
  /**
   * The time at which the entry expires, by `performance.now()`, a clock that no user can set. If the entry never
   * expires, the time is `Infinity`.
   */
  expiresAt: number;
}

/** The approximate size of an entry without its key and value, in bytes. */
const overhead = 400;

export class Database {
  memory = 0;
  private readonly maxMemory: number;
  private readonly entries = new Map<string, Entry>();
  private readonly expiring = new Set<string>();
  /** Iterates over the keys that expire, again and again. */
  private round = this.expiring.values();

  constructor(maxMemory: number) {
    this.maxMemory = maxMemory;
  }

  /** The number of keys, including expired keys that no sweep has removed yet. */
  get size(): number {
    return this.entries.size;
  }

  get expiringSize(): number {
    return this.expiring.size;
  }

  get(key: Buffer): Buffer | undefined {
    return this.live(nameOf(key))?.value;
  }

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

  /** Makes a key expire at the time `expiresAt`. Returns false if the key does not exist. */
  expire(key: Buffer, expiresAt: number): boolean {
    const name = nameOf(key);
    const entry = this.live(name);
    if (entry === undefined) return false;
    entry.expiresAt = expiresAt;
    this.expiring.add(name);
    return true;
  }

  /**
   * Returns the time at which a key expires. Returns `Infinity` if the key never expires, and `undefined` if the key
   * does not exist.
   */
  expiry(key: Buffer): number | undefined {
    return this.live(nameOf(key))?.expiresAt;
  }

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
  /** Returns the entry of a key. If the entry has expired, removes the entry, and returns undefined. */
  private live(name: string): Entry | undefined {
    const entry = this.entries.get(name);
    if (entry === undefined || entry.expiresAt > performance.now()) return entry;
    this.remove(name);
    return undefined;
  }

  /**
   * Removes the expired keys among the next `most` keys that can expire. Without sweeps, an expired key that no client
   * reads would stay in memory.
   */
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

/**
 * Makes a string with one character for each byte of a key. A Map treats equal strings as the same key, but equal
 * Buffers as different keys.
 */
function nameOf(key: Buffer): string {
  return key.toString('latin1');
}

/**
 * Copies a value. If the value is a view of a received chunk or of Node's pool, storing the view itself would keep the
 * memory of the whole chunk or pool alive.
 */
function copyOf(value: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(value.length);
  value.copy(copy);
  return copy;
}

function sizeOf(name: string, value: Buffer): number {
  return name.length + value.length + overhead;
}
