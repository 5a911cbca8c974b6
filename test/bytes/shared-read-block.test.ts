import fc from 'fast-check';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Encoder } from '../../src/codecs/codec.js';
import { SocketError } from '../../src/errors/socket-error.js';
import { readBlock } from '../../src/bytes/shared-read-block.js';
import { WriteBuffer } from '../../src/io/write-buffer.js';

/** What an encoder writes: a part of the read block, or memory of its own. */
interface Step {
  readonly kind: 'bytes' | 'text' | 'own';
  readonly start: number;
  readonly length: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('bytes', 'text', 'own'),
  start: fc.nat(30_000),
  length: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 9_000 })),
});

const value = fc.record({
  steps: fc.array(step, { minLength: 1, maxLength: 3 }),
  fate: fc.constantFrom('stays', 'stays', 'fails', 'dropped'),
});

/** The values sent during one delivery. They are written during this delivery, right after this delivery, or later. */
const delivery = fc.record({
  seed: fc.nat(250),
  values: fc.array(value, { maxLength: 5 }),
  write: fc.constantFrom('within', 'after', 'later'),
  takesAll: fc.boolean(),
  way: fc.constantFrom('write', 'all', 'parts'),
});

/** Keeps the written data until the test flushes the data, like a kernel that has taken only a part of a write. */
class Peer {
  readonly done: Buffer[] = [];
  private kept: (Uint8Array | string)[] = [];
  takes = true;

  write = (data: Uint8Array | string): boolean => this.writeAll([data]);

  writeAll = (pieces: readonly (Uint8Array | string)[]): boolean => {
    this.kept.push(...pieces);
    if (this.takes) this.flush();
    return this.takes;
  };

  flush(): void {
    for (const piece of this.kept) this.done.push(Buffer.from(piece as string));
    this.kept = [];
  }
}

const pattern = Uint8Array.from({ length: readBlock.length + 127 }, (_, at) => at % 127);

describe('sending memory that was borrowed from the read block', () => {
  it('C1: bytes are sent as they were when the encoder added them, even if the read block is overwritten before the write', () => {
    fc.assert(
      fc.property(fc.array(delivery, { maxLength: 8 }), (deliveries) => {
        const buffer = new WriteBuffer();
        const peer = new Peer();
        const expected: Buffer[] = [];
        const encoder: Encoder<{ steps: readonly Step[]; fails: boolean; copy: Buffer[] }> = {
          encode({ steps, fails, copy }, into) {
            for (const { kind, start, length } of steps) {
              const bytes = readBlock.subarray(start, start + length);
              copy.push(Buffer.from(bytes));
              if (kind === 'own') into.bytes(Buffer.from(bytes));
              else if (kind === 'text') into.text(bytes.toString('latin1'), 'utf8');
              else into.bytes(bytes);
            }
            if (fails) throw new SocketError('ERR_FRAME_INVALID', 'thrown by the test');
          },
        };
        const write = (way: string): void => {
          // A second write must not start before the first write has finished.
          peer.flush();
          if (way === 'write') buffer.writeTo(peer);
          else if (way === 'all') peer.writeAll([buffer.takeAll()]);
          else {
            const parts = buffer.takeBatches(16_384);
            for (let part = parts.shift(); part !== undefined; part = parts.shift()) peer.writeAll(part.pieces);
          }
        };
        for (const { seed, values, write: when, takesAll, way } of deliveries) {
          peer.takes = takesAll;
          readBlock.set(pattern.subarray(seed % 127, (seed % 127) + readBlock.length));
          for (const { steps, fate } of values) {
            const copy: Buffer[] = [];
            const before = buffer.size;
            buffer.add(encoder, { steps, fails: fate === 'fails', copy });
            if (fate === 'dropped') buffer.rollback();
            if (fate === 'stays') expected.push(...copy);
            else expect(buffer.size).toBe(before);
          }
          if (when === 'within') write(way);
          readBlock.fill(0xff);
          if (when === 'after') write(way);
        }
        write('write');
        peer.flush();
        expect(Buffer.concat(peer.done).equals(Buffer.concat(expected))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('C14: the write buffer keeps no memory for values that are dropped while the peer does not read', () => {
    const buffer = new WriteBuffer();
    const encoder: Encoder<Buffer> = {
      encode(bytes, into) {
        into.uint(bytes.length, 4, 'big');
        into.bytes(bytes);
      },
    };
    for (let count = 0; count < 8; count++) buffer.add(encoder, Buffer.alloc(4_000));
    const allocated = vi.spyOn(Buffer, 'allocUnsafeSlow');
    onTestFinished(() => {
      allocated.mockRestore();
    });
    const dropped = Buffer.alloc(2_000);
    for (let count = 0; count < 1_000; count++) {
      buffer.add(encoder, dropped);
      buffer.rollback();
    }
    expect(allocated.mock.calls.length).toBeLessThan(5);
    expect(buffer.size).toBe(8 * 4_004);
  });
});
