import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Encoder } from '../../src/codecs/codec.js';
import { type OutboundLimits, type Verdict, WriteState } from '../../src/io/write-state.js';
import { noWaiters } from '../../src/io/waiters.js';
import type { Target, Write } from '../../src/io/write-batches.js';

const limits: OutboundLimits = { highWaterMark: 40_000, maxBuffered: 150_000, overflow: 'error' };
const bytes: Encoder<Uint8Array> = {
  encode: (value, into) => {
    into.bytes(value);
  },
};

/** Performs the actions of the state on a scripted kernel. */
class Driver {
  readonly state: WriteState;
  readonly kernel = { unsent: 0 };
  readonly written: Buffer[] = [];
  readonly drains: number[] = [];
  fins = 0;

  constructor(state = new WriteState(limits)) {
    this.state = state;
  }

  /** Performs the actions until none is due. If `isEager` is false, stops before the kernel takes a write. */
  run(isEager: boolean): void {
    for (;;) {
      const due = this.state.next();
      switch (due) {
        case 'none':
          return;
        case 'drained':
          this.drains.push(this.total);
          break;
        case 'finish':
          this.fins++;
          break;
        default:
          expect(this.fins).toBe(0);
          this.kernel.unsent = this.write(due);
          if (!isEager) return;
          this.take();
      }
    }
  }

  take(): void {
    this.kernel.unsent = 0;
    this.state.taken();
  }

  get total(): number {
    return this.written.reduce((sum, piece) => sum + piece.length, 0);
  }

  /** Returns how many bytes were written. */
  private write(write: Write): number {
    const before = this.total;
    const writeAll = (pieces: readonly Uint8Array[]): false => {
      for (const piece of pieces) this.written.push(Buffer.from(piece));
      return false;
    };
    const target: Target = { write: (one) => writeAll([Buffer.from(one as Uint8Array)]), writeAll };
    this.state.wrote(write, write.writeTo(target));
    return this.total - before;
  }
}

type Input =
  | { readonly do: 'push'; readonly size: number; readonly origin: 'own' | 'client'; readonly isExempt: boolean }
  | { readonly do: 'attach' | 'turn' | 'take' | 'wait' | 'suspend' | 'resume' | 'complete' | 'fail' };

const input: fc.Arbitrary<Input> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('push' as const),
      size: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 30_000 }), fc.constant(100_000)),
      origin: fc.constantFrom('own' as const, 'client' as const),
      isExempt: fc.boolean(),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constantFrom('attach' as const, 'turn', 'take', 'wait') }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('suspend' as const, 'resume') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('complete' as const, 'complete', 'fail') }) },
);

describe('the write state', () => {
  it('C3, C4, C5, C6: writes the accepted values once and in order, the FIN last, and wakes each waiter once', () => {
    fc.assert(
      fc.property(fc.array(input, { maxLength: 60 }), fc.boolean(), (inputs, isEager) => {
        const driver = new Driver();
        const { state, kernel } = driver;
        const accepted: Buffer[] = [];
        let waiters = noWaiters;
        const woken: number[] = [];
        const rejected: number[] = [];
        let isAttached = false;
        let isCompleted = false;
        let hasFailed = false;
        let fence: number | undefined;
        for (const [index, one] of inputs.entries()) {
          switch (one.do) {
            case 'push': {
              const { level, accepted: before } = state;
              const value = Buffer.alloc(one.size, index);
              const verdict = state.push(one.origin, bytes, value, one.isExempt);
              if (isCompleted || hasFailed) expect(verdict).toBe('closed');
              else if (verdict === 'overflow') {
                expect(one.isExempt).toBe(false);
                expect(level + one.size).toBeGreaterThan(limits.maxBuffered);
                expect([state.level, state.accepted]).toEqual([level, before]);
              } else {
                accepted.push(value);
                expect(state.accepted).toBe(before + one.size);
                // Over `highWaterMark`, the verdict is never 'accepted', so that the caller notices.
                if (state.level > limits.highWaterMark) expect(['over', 'early', 'write']).toContain(verdict);
                waiters = waiters.append(
                  state.accepted,
                  () => woken.push(index),
                  () => rejected.push(index),
                );
                if (verdict === 'write') driver.run(isEager);
              }
              break;
            }
            case 'attach':
              if (!isAttached) state.attach(kernel);
              isAttached = true;
              break;
            case 'turn':
              driver.run(isEager);
              break;
            case 'take':
              if (kernel.unsent > 0) driver.take();
              waiters.wake(state.recordProgress());
              break;
            case 'wait':
              // The kernel takes a part of the write.
              kernel.unsent = Math.ceil(kernel.unsent / 2);
              waiters.wake(state.recordProgress());
              break;
            case 'suspend':
              if (isCompleted || hasFailed || fence !== undefined) break;
              state.suspend();
              fence = state.accepted;
              break;
            case 'resume':
              state.resume();
              fence = undefined;
              break;
            case 'complete':
              expect(state.complete()).toBe(!isCompleted && !hasFailed);
              isCompleted = true;
              break;
            case 'fail': {
              if (hasFailed) break;
              hasFailed = true;
              const written = state.recordProgress();
              state.fail();
              expect([state.recordProgress(), state.level, state.next()]).toEqual([written, 0, 'none']);
              waiters.end(written, undefined as never);
            }
          }
          if (fence !== undefined && !hasFailed) expect(driver.total).toBeLessThanOrEqual(fence);
          expect(state.recordProgress()).toBeLessThanOrEqual(driver.total);
          expect(state.closed).toBe(isCompleted || hasFailed);
        }
        if (!hasFailed) {
          if (!isAttached) state.attach(kernel);
          state.resume();
          state.complete();
          while (!state.ended) {
            driver.run(isEager);
            driver.take();
            waiters.wake(state.recordProgress());
          }
          waiters.wake(state.recordProgress());
          expect([driver.fins, state.isFlushed]).toEqual([1, true]);
          expect(rejected).toEqual([]);
        }
        const all = Buffer.concat(accepted);
        const written = Buffer.concat(driver.written);
        expect(written.equals(hasFailed ? all.subarray(0, written.length) : all)).toBe(true);
        expect(waiters.size).toBe(0);
        expect(woken.length + rejected.length).toBe(accepted.length);
        expect(new Set([...woken, ...rejected]).size).toBe(accepted.length);
      }),
      { numRuns: 500 },
    );
  });

  it('C1: if an encoder sends another value, that value is written whole, before the value being encoded', () => {
    const origin = fc.constantFrom('own' as const, 'client' as const);
    const size = fc.oneof(fc.nat(20), fc.nat(9_000));
    fc.assert(
      fc.property(size, size, size, size, origin, origin, fc.boolean(), fc.boolean(), (...given) => {
        const [earlier, head, inner, rest, from, innerFrom, fails, isReady] = given;
        const driver = new Driver();
        const { state } = driver;
        if (isReady) state.attach(driver.kernel);
        const outer: Encoder<null> = {
          encode: (_, into) => {
            into.bytes(Buffer.alloc(head, 1));
            state.push(innerFrom, bytes, Buffer.alloc(inner, 2), false);
            expect([state.isEncoding, state.next()]).toEqual([true, 'none']);
            into.bytes(Buffer.alloc(rest, 1));
            if (fails) throw new Error('thrown by the test');
          },
        };
        state.push(from, bytes, Buffer.alloc(earlier, 0), false);
        const verdict = state.push(from, outer, null, false);
        expect(typeof verdict === 'object').toBe(fails);
        expect(state.isEncoding).toBe(false);
        state.push(from, bytes, Buffer.alloc(5, 3), false);
        if (!isReady) state.attach(driver.kernel);
        driver.run(true);
        const expected = [Buffer.alloc(earlier, 0), Buffer.alloc(inner, 2)];
        if (!fails) expected.push(Buffer.alloc(head + rest, 1));
        expect(Buffer.concat(driver.written).equals(Buffer.concat([...expected, Buffer.alloc(5, 3)]))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('T10: values accepted before suspend are written, their drain is reported once, and later values wait for resume', () => {
    const driver = new Driver();
    const { state, kernel } = driver;
    state.attach(kernel);
    state.push('own', bytes, Buffer.from('before'), false);
    state.suspend();
    state.push('own', bytes, Buffer.from(' after'), false);
    driver.run(true);
    driver.run(true);
    expect([Buffer.concat(driver.written).toString(), driver.drains]).toEqual(['before', [6]]);
    state.complete();
    driver.run(true);
    expect(driver.fins).toBe(0);
    state.resume();
    driver.run(true);
    expect([Buffer.concat(driver.written).toString(), driver.drains, driver.fins]).toEqual(['before after', [6], 1]);
  });

  it('K13: without a connection, values are queued, dropped or refused', () => {
    const state = new WriteState(limits);
    const push = (): Verdict => state.push('own', bytes, Buffer.from('value'), false);
    expect([push(), state.pressure]).toEqual(['accepted', 5]);
    state.park('drop');
    expect([push(), state.pressure]).toEqual(['dropped', Infinity]);
    state.park('error');
    expect([push(), state.pressure]).toEqual(['disconnected', 5]);
    state.attach({ unsent: 0 });
    state.park('drop');
    expect([push(), state.pressure]).toEqual(['accepted', 10]);
  });
});
