/** Keys with their values, in memory, with a size limit and expiry. */
import { ErrorReply } from './resp.js';

interface Entry {
  readonly value: Buffer;
  /** A time by `performance.now()`, a clock that no user can set; `Infinity` for never. */
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

  /** Returns false if the key does not exist. */
  expire(key: Buffer, expiresAt: number): boolean {
    const name = nameOf(key);
    const entry = this.live(name);
    if (entry === undefined) return false;
    entry.expiresAt = expiresAt;
    this.expiring.add(name);
    return true;
  }

  /** Returns `Infinity` if the key never expires, and `undefined` if it does not exist. */
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
  /** Returns the entry of a key, unless the entry has expired. Removes an expired entry. */
  private live(name: string): Entry | undefined {
    const entry = this.entries.get(name);
    if (entry === undefined || entry.expiresAt > performance.now()) return entry;
    this.remove(name);
    return undefined;
  }

  /**
   * Removes the expired keys among the next `most` keys that can expire. Without these sweeps, expired keys that no
   * client reads would stay.
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

/** Makes a string with one character for each byte. Equal strings are the same key of a Map; equal Buffers are not. */
function nameOf(key: Buffer): string {
  return key.toString('latin1');
}

/** Copies a value. A view of a received chunk, or of Node's pool, would keep the memory of the chunk or pool alive. */
function copyOf(value: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(value.length);
  value.copy(copy);
  return copy;
}

function sizeOf(name: string, value: Buffer): number {
  return name.length + value.length + overhead;
}
