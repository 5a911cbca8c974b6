import fc from 'fast-check';
import { defer, retry, throwError } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { backoff, type BackoffOptions, SocketError } from 'rxjs-sockets';
import { describe, expect, it } from 'vitest';
import { ExponentialBackoff, noteUptime } from '../../src/reconnect/backoff.js';

const policies = fc
  .record({
    initial: fc.integer({ min: 1, max: 1_000 }),
    over: fc.integer({ min: 0, max: 60_000 }),
    factor: fc.double({ min: 1, max: 10, noNaN: true }),
    jitter: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  .map(({ initial, over, factor, jitter }) => ({ initial, max: initial + over, factor, jitter }));

describe('backoff', () => {
  it('K5: chooses each delay between base · (1 − jitter) and base, but never below initial', () => {
    fc.assert(
      fc.property(policies, fc.integer({ min: 1, max: 2_000 }), (options, n) => {
        const { initial, max, factor, jitter } = options;
        const base = Math.min(max, initial * factor ** (n - 1));
        const delay = new ExponentialBackoff(options).delayOf(n);
        expect(delay).toBeGreaterThanOrEqual(Math.max(initial, base * (1 - jitter)) - 1e-6);
        expect(delay).toBeLessThanOrEqual(base + 1e-6);
      }),
    );
  });

  it('K5: chooses random delays only with jitter', () => {
    const random = new Set(Array.from({ length: 20 }, () => new ExponentialBackoff({}).delayOf(8)));
    expect(random.size).toBeGreaterThan(10);
    expect(new ExponentialBackoff({ jitter: 0 }).delayOf(4)).toBe(800);
  });

  it('K5: has the documented defaults', () => {
    const policy = new ExponentialBackoff({ jitter: 0 });
    expect([1, 2, 3, 100].map((n) => policy.delayOf(n))).toEqual([100, 200, 400, 30_000]);
    expect(backoff()).toMatchObject({ stableAfter: 5_000, resetOnSuccess: false });
  });

  it('K5: counts the attempts itself when it is passed to retry of RxJS', () => {
    new TestScheduler((actual, expected) => {
      expect(actual).toEqual(expected);
    }).run(({ expectObservable }) => {
      const failure = new SocketError('ECONNREFUSED', 'refused');
      const source = defer(() => throwError(() => failure));
      const policy = backoff({ initial: 10, factor: 2, jitter: 0, attempts: 3 });
      // Three retries after 10, 20 and 40 ms, then the error.
      expectObservable(source.pipe(retry(policy))).toBe('70ms #', undefined, failure);
    });
  });

  it('K5: restarts its count after a stable connection', () => {
    new TestScheduler((actual, expected) => {
      expect(actual).toEqual(expected);
    }).run(({ expectObservable }) => {
      let attempt = 0;
      const failures = Array.from({ length: 6 }, () => new SocketError('ECONNRESET', 'reset'));
      // The third attempt led to a connection that was stable.
      noteUptime(failures[2] as SocketError, 5_000);
      noteUptime(failures[4] as SocketError, 4_999);
      const source = defer(() => {
        const failure = failures[attempt++];
        return throwError(() => failure);
      });
      const policy = backoff({ initial: 10, jitter: 0, attempts: 3 });
      // Two retries after 10 and 20 ms, three more after 10, 20 and 40 ms, then the error of the sixth attempt.
      expectObservable(source.pipe(retry(policy))).toBe('100ms #', undefined, failures[5]);
    });
  });

  it.each<[string, BackoffOptions]>([
    ['options', null as never],
    ['options', 'often' as never],
    ['atempts', { atempts: 3 } as never],
    ['initial', { initial: null as never }],
    ['initial', { initial: 0 }],
    ['initial', { initial: -1 }],
    ['initial', { initial: Infinity }],
    ['max', { max: NaN }],
    ['max', { max: '30s' as never }],
    ['max', { max: Infinity }],
    ['max', { max: 0 }],
    ['factor', { factor: NaN }],
    ['factor', { factor: 0 }],
    ['factor', { factor: '2' as never }],
    ['jitter', { jitter: NaN }],
    ['jitter', { jitter: true as never }],
    ['attempts', { attempts: NaN }],
    ['attempts', { attempts: '3' as never }],
    ['stableAfter', { stableAfter: NaN }],
    ['stableAfter', { stableAfter: 2 ** 31 }],
    ['initial', { initial: NaN }],
    ['initial', { initial: '100' as never }],
    ['max', { initial: 200, max: 100 }],
    ['max', { max: 2 ** 31 }],
    ['factor', { factor: 0.5 }],
    ['factor', { factor: Infinity }],
    ['jitter', { jitter: 1.5 }],
    ['jitter', { jitter: -0.1 }],
    ['attempts', { attempts: -1 }],
    ['attempts', { attempts: 1.5 }],
    ['stableAfter', { stableAfter: -1 }],
    ['stableAfter', { stableAfter: Infinity }],
  ])('A5: refuses a bad %s (%o)', (name, options) => {
    expect(() => backoff(options)).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION_INVALID', message: expect.stringContaining(name) as string }),
    );
  });
});
