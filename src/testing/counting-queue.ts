import { ChunkQueue } from '../bytes/chunk-queue.js';

/** Counts the bytes that a decoder reads, copies or searches, to measure the decoder's work without a clock. */
export class CountingQueue extends ChunkQueue {
  /** A byte that is examined twice counts twice. */
  examined = 0;

  override get head(): Buffer {
    const head = super.head;
    this.examined += head.length;
    return head;
  }

  override at(index: number): number {
    this.examined++;
    return super.at(index);
  }

  override uint(index: number, bytes: 1 | 2 | 4, endian: 'big' | 'little'): number {
    this.examined += bytes;
    return super.uint(index, bytes, endian);
  }

  override indexOf(needle: number | Uint8Array, from = 0): number {
    const found = super.indexOf(needle, from);
    const size = typeof needle === 'number' ? 1 : needle.length;
    this.examined += (found === -1 ? Math.max(from, this.length) : found + size) - from;
    return found;
  }

  override peek(count: number): Buffer {
    this.examined += count;
    return super.peek(count);
  }

  override borrow(count: number): Buffer {
    this.examined += count;
    return super.borrow(count);
  }

  override borrowHead(): Buffer {
    const head = super.borrowHead();
    this.examined += head.length;
    return head;
  }

  override take(count: number): Buffer {
    this.examined += count;
    return super.take(count);
  }
}
