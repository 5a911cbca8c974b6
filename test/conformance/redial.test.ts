import {
  EMPTY,
  ignoreElements,
  map,
  NEVER,
  type Observable,
  of,
  repeat,
  retry,
  type RetryConfig,
  take,
  throwError,
  timer,
} from 'rxjs';
import type { TestScheduler } from 'rxjs/testing';
import { backoff, connect, type ConnectionState, listen, type SocketError } from 'rxjs-sockets';
import { memoryTransport } from 'rxjs-sockets/testing';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { record } from '../support/recording/record.js';
import { virtually } from '../support/scheduling/virtual-time.js';

const brief = (state: ConnectionState<any, any>): string => {
  switch (state.status) {
    case 'waiting':
      return `w${state.attempt} ${state.delay}`;
    case 'disconnected':
      return `d${state.attempt}${state.error === undefined ? '' : ` ${state.error.code}`}`;
    default:
      return `${state.status === 'connecting' ? 'c' : 'C'}${state.attempt}`;
  }
};

/** Collects the states of a client, each with its time, and unsubscribes from the client after `time` ms. */
function story(client: Observable<ConnectionState<any, any>>, scheduler: TestScheduler, time: number): string[] {
  const events: string[] = [];
  const now = (): number => scheduler.now();
  const watching = client.subscribe({
    next: (state) => events.push(`${now()}: ${brief(state)}`),
    error: (error: unknown) => events.push(`${now()}: ! ${(error as SocketError).code}`),
    complete: () => events.push(`${now()}: |`),
  });
  scheduler.schedule(() => watching.unsubscribe(), time);
  return events;
}

const to = (name: string, transport = memoryTransport()) => ({
  transport,
  dial: (reconnect?: RetryConfig) =>
    connect(`memory:${name}`, { transport, claimTimeout: 0, ...(reconnect === undefined ? {} : { reconnect }) }),
});

function endingServer(
  transport: ReturnType<typeof memoryTransport>,
  name: string,
  time: (n: number) => number,
  clean = true,
) {
  let served = 0;
  return listen(`memory:${name}`, { transport, claimTimeout: 0 }).subscribe((connection) => {
    connection.bytes.subscribe({ error: () => undefined });
    timer(time(++served)).subscribe(() => (clean ? connection.bytes.complete() : connection.destroy()));
  });
}

const steady = { initial: 100, factor: 2, jitter: 0 };

describe('a client with reconnect, in virtual time', () => {
  it('K2: the state `waiting` has the delay, and the number of the attempt that ended', () => {
    virtually((scheduler) => {
      const events = story(to('nobody').dial(backoff({ ...steady, max: 400 })), scheduler, 1_200);
      scheduler.flush();
      expect(events).toEqual([
        '0: c1',
        '0: d1 ECONNREFUSED',
        '0: w1 100',
        '100: c2',
        '100: d2 ECONNREFUSED',
        '100: w2 200',
        '300: c3',
        '300: d3 ECONNREFUSED',
        '300: w3 400',
        '700: c4',
        '700: d4 ECONNREFUSED',
        '700: w4 400',
        '1100: c5',
        '1100: d5 ECONNREFUSED',
        '1100: w5 400',
      ]);
    });
  });

  it('K2: a subscriber gets every state, even if the callback of an earlier subscriber ends the client', () => {
    virtually((scheduler) => {
      const client = to('nobody').dial(backoff(steady));
      client.subscribe({
        next: ({ status, attempt }) => {
          if (status === 'connecting' && attempt === 2) client.data.error('enough');
        },
        error: () => undefined,
      });
      const states = story(client, scheduler, 200);
      scheduler.flush();
      expect(states).toEqual([
        '0: c1',
        '0: d1 ECONNREFUSED',
        '0: w1 100',
        '100: c2',
        '100: d2 ERR_CLOSED',
        '100: ! ERR_CLOSED',
      ]);
    });
  });

  it('K2: the count of attempts restarts at 1 only after a stable connection', () => {
    virtually((scheduler) => {
      const { dial, transport } = to('ending');
      const up = [4_999, 5_000, 0, 10_000];
      const serving = endingServer(transport, 'ending', (n) => up[n - 1] ?? 0);
      const events = story(dial(backoff(steady)), scheduler, 20_700);
      scheduler.flush();
      serving.unsubscribe();
      expect(events).toEqual([
        '0: c1',
        '0: C1',
        '4999: d1',
        '4999: w1 100',
        '5099: c2',
        '5099: C2',
        '10099: d2',
        '10099: w2 100',
        '10199: c1',
        '10199: C1',
        '10199: d1',
        '10199: w1 200',
        '10399: c2',
        '10399: C2',
        '20399: d2',
        '20399: w2 100',
        '20499: c1',
        '20499: C1',
        '20499: d1',
        '20499: w1 200',
        '20699: c2',
        '20699: C2',
        '20699: d2',
        '20699: w2 400',
      ]);
    });
  });

  it.each([
    ['cleanly ends', true],
    ['resets', false],
  ])('K5: with `backoff()`, the client rarely dials a server that %s each connection at once', (_how, clean) => {
    virtually((scheduler) => {
      const { dial, transport } = to('ending');
      const serving = endingServer(transport, 'ending', () => 0, clean);
      const events = story(dial(backoff()), scheduler, 60_000);
      scheduler.flush();
      serving.unsubscribe();
      const attempts = events.filter((line) => / c\d/.test(line)).length;
      // The delays are 100, 200, … 25,600 ms minus jitter, then at least 15 s each.
      expect(attempts).toBeGreaterThan(8);
      expect(attempts).toBeLessThan(14);
    });
  });

  it('K5: with `retry(backoff())` on the states or on `data`, the client rarely dials a server that destroys each connection at once', () => {
    virtually((scheduler) => {
      const { dial, transport } = to('ending');
      let accepted = 0;
      const serving = listen('memory:ending', { transport, claimTimeout: 0 }).subscribe((connection) => {
        accepted++;
        connection.destroy();
      });
      story(dial().pipe(retry(backoff())), scheduler, 60_000);
      scheduler.flush();
      expect(accepted).toBeGreaterThan(8);
      expect(accepted).toBeLessThan(14);
      accepted = 0;
      const reading = dial().data.pipe(retry(backoff())).subscribe();
      scheduler.schedule(() => reading.unsubscribe(), 60_000);
      scheduler.flush();
      expect(accepted).toBeGreaterThan(8);
      expect(accepted).toBeLessThan(14);
      serving.unsubscribe();
    });
  });

  it('K3: with `retry(backoff())`, the client dials again after failures, with growing delays, up to `attempts` times', () => {
    virtually((scheduler) => {
      const events = story(
        to('nobody')
          .dial()
          .pipe(retry(backoff({ ...steady, attempts: 3 }))),
        scheduler,
        9_999,
      );
      scheduler.flush();
      expect(events).toEqual([
        '0: c1',
        '0: d1 ECONNREFUSED',
        '100: c1',
        '100: d1 ECONNREFUSED',
        '300: c1',
        '300: d1 ECONNREFUSED',
        '700: c1',
        '700: d1 ECONNREFUSED',
        '700: ! ECONNREFUSED',
      ]);
    });
  });

  it('K5: `retry(backoff())` restarts its count of attempts after a stable connection', () => {
    virtually((scheduler) => {
      const { dial, transport } = to('ending');
      const up = [0, 0, 5_000, 4_999];
      const serving = endingServer(transport, 'ending', (n) => up[n - 1] ?? 0, false);
      const events = story(dial().pipe(retry(backoff(steady))), scheduler, 10_900);
      scheduler.flush();
      serving.unsubscribe();
      expect(events.filter((line) => / c1/.test(line))).toEqual([
        '0: c1',
        '100: c1',
        '300: c1',
        '5400: c1',
        '10599: c1',
      ]);
    });
  });

  it('K11: several clients and several `retry` operators can share one policy, and each of them counts its own attempts', () => {
    virtually((scheduler) => {
      const policy = backoff({ ...steady, attempts: 3 });
      const one = to('nobody').dial();
      const events = [
        story(one.pipe(retry(policy)), scheduler, 9_999),
        story(to('nobody').dial().pipe(retry(policy)), scheduler, 9_999),
        story(to('nobody').dial(policy), scheduler, 9_999),
        story(to('nobody').dial(policy), scheduler, 9_999),
      ];
      let failures = 0;
      one.data.pipe(retry(policy)).subscribe({ error: () => failures++ });
      scheduler.flush();
      for (const lines of events) {
        expect(lines.filter((line) => / c\d/.test(line)).map((line) => line.split(':')[0])).toEqual([
          '0',
          '100',
          '300',
          '700',
        ]);
        expect(lines.at(-1)).toBe('700: ! ECONNREFUSED');
      }
      expect(failures).toBe(1);
    });
  });

  it('K5: with a copy of a policy that has a different `count`, the client stops after `count` redials', () => {
    virtually((scheduler) => {
      const policy = { ...backoff(steady), count: 2 };
      const events = [
        story(to('nobody').dial().pipe(retry(policy)), scheduler, 9_999),
        story(to('nobody').dial(policy), scheduler, 9_999),
      ];
      scheduler.flush();
      for (const lines of events) {
        expect(lines.filter((line) => / c\d/.test(line)).map((line) => line.split(':')[0])).toEqual([
          '0',
          '100',
          '300',
        ]);
      }
      expect(events[1]?.filter((line) => / w/.test(line))).toEqual(['0: w1 100', '100: w2 200']);
    });
  });

  it('K3: with `repeat`, the client dials again after clean ends', () => {
    virtually((scheduler) => {
      const { dial, transport } = to('ending');
      const serving = endingServer(transport, 'ending', () => 10);
      const events = story(dial().pipe(repeat({ count: 3, delay: 50 })), scheduler, 9_999);
      scheduler.flush();
      serving.unsubscribe();
      expect(events).toEqual([
        '0: c1',
        '0: C1',
        '10: d1',
        '60: c1',
        '60: C1',
        '70: d1',
        '120: c1',
        '120: C1',
        '130: d1',
        '130: |',
      ]);
    });
  });

  it('K5: with `attempts: 0`, the client dials once', () => {
    virtually((scheduler) => {
      const events = story(to('nobody').dial(backoff({ attempts: 0 })), scheduler, 9_999);
      scheduler.flush();
      expect(events).toEqual(['0: c1', '0: d1 ECONNREFUSED', '0: ! ECONNREFUSED']);
    });
  });

  it('K16: `connectTimeout` applies to each attempt', () => {
    virtually((scheduler) => {
      const transport = memoryTransport();
      const server = listen('memory:full', { transport, backlog: 1, claimTimeout: 0 });
      server.hold();
      const serving = server.subscribe();
      const first = connect('memory:full', { transport, claimTimeout: 0 }).subscribe();
      const client = connect('memory:full', { transport, connectTimeout: 700, reconnect: { delay: 50 } });
      const events = story(client, scheduler, 1_600);
      scheduler.flush();
      first.unsubscribe();
      serving.unsubscribe();
      expect(events).toEqual([
        '0: c1',
        '700: d1 ERR_TIMEOUT_CONNECT',
        '700: w1 50',
        '750: c2',
        '1450: d2 ERR_TIMEOUT_CONNECT',
        '1450: w2 50',
        '1500: c3',
      ]);
    });
  });

  it.each<[string, RetryConfig, string[]]>([
    ['`count`', { count: 1, delay: 10 }, [...first('w1 10'), '10: c2', '10: d2 ECONNREFUSED', '10: ! ECONNREFUSED']],
    ['`count` of 0', { count: 0 }, ['0: c1', '0: d1 ECONNREFUSED', '0: ! ECONNREFUSED']],
    [
      '`delay` that returns an Observable',
      { count: 1, delay: (_error, count) => timer(count * 30) },
      [...first('w1 NaN'), '30: c2', '30: d2 ECONNREFUSED', '30: ! ECONNREFUSED'],
    ],
    [
      '`delay` whose Observable emits at once',
      { count: 1, delay: () => of('now') },
      [...first('w1 NaN'), '0: c2', '0: d2 ECONNREFUSED', '0: ! ECONNREFUSED'],
    ],
    [
      '`delay` whose Observable fails at once with the error that `delay` got',
      { delay: (error) => throwError(() => error as Error) },
      ['0: c1', '0: d1 ECONNREFUSED', '0: ! ECONNREFUSED'],
    ],
    ['`delay` whose Observable completes at once', { delay: () => EMPTY }, ['0: c1', '0: d1 ECONNREFUSED', '0: |']],
    [
      '`delay` that throws',
      {
        delay: () => {
          throw new Error('the policy is broken');
        },
      },
      ['0: c1', '0: d1 ECONNREFUSED', '0: ! EIO'],
    ],
    ['`delay` whose Observable never emits', { delay: () => NEVER }, first('w1 NaN')],
    ['`delay` that returns no Observable', { delay: () => 5 as never }, ['0: c1', '0: d1 ECONNREFUSED', '0: ! EIO']],
    ['`delay` that completes later', { delay: () => timer(20).pipe(ignoreElements()) }, [...first('w1 NaN'), '20: |']],
  ])('K11: `reconnect` accepts any RetryConfig: %s', (_what, config, expected) => {
    virtually((scheduler) => {
      const events = story(to('nobody').dial(config), scheduler, 100);
      scheduler.flush();
      expect(events.slice(0, config.count === undefined ? expected.length : undefined)).toEqual(expected);
    });
  });

  it('K11: with a RetryConfig without `delay`, the client waits as long as with `backoff()`', () => {
    virtually((scheduler) => {
      const events = story(to('nobody').dial({ count: 2 }), scheduler, 1_000);
      scheduler.flush();
      const delays = events.flatMap((line) => (line.includes(' w') ? [Number(line.split(' ').at(-1))] : []));
      expect(delays).toHaveLength(2);
      expect(delays[0]).toBe(100);
      expect(delays[1]).toBeGreaterThanOrEqual(100);
      expect(delays[1]).toBeLessThanOrEqual(200);
      expect(events.at(-1)).toMatch(/! ECONNREFUSED/);
    });
  });

  it('K10: if a policy fails while the client waits, the client ends with the error of the policy if this error is a SocketError, otherwise with EIO', () => {
    virtually((scheduler) => {
      const fails = story(
        to('nobody').dial({
          delay: (error) =>
            timer(20).pipe(
              map(() => {
                throw error as Error;
              }),
            ),
        }),
        scheduler,
        100,
      );
      const { data } = to('nobody').dial({
        delay: () =>
          timer(20).pipe(
            take(1),
            map(() => {
              throw new Error('no');
            }),
          ),
      });
      const ended = record(data);
      scheduler.flush();
      expect(fails).toEqual([...first('w1 NaN'), '20: ! ECONNREFUSED']);
      expect(ended.endings).toMatchObject([{ code: 'EIO', cause: { message: 'no' } }]);
    });
  });

  it('K11: the function `delay` gets the error and the number of redials', () => {
    virtually((scheduler) => {
      const given: string[] = [];
      const config: RetryConfig = {
        count: 3,
        delay: (error, count) => {
          given.push(`${(error as SocketError).code} ${count}`);
          return timer(1);
        },
      };
      story(to('nobody').dial(config), scheduler, 100);
      scheduler.flush();
      expect(given).toEqual(['ECONNREFUSED 1', 'ECONNREFUSED 2', 'ECONNREFUSED 3']);
    });
  });

  it('K11: with `resetOnSuccess`, every connection restarts the count of attempts', () => {
    virtually((scheduler) => {
      const { dial, transport } = to('ending');
      const serving = endingServer(transport, 'ending', () => 10);
      const resets = story(dial({ count: 1, delay: 10, resetOnSuccess: true }), scheduler, 95);
      const counts = story(dial({ count: 1, delay: 10 }), scheduler, 95);
      scheduler.flush();
      serving.unsubscribe();
      expect(resets.filter((line) => / C/.test(line))).toEqual(['0: C1', '20: C1', '40: C1', '60: C1', '80: C1']);
      expect(counts.slice(-2)).toEqual(['30: d2', '30: |']);
    });
  });

  it('K13: `whileDisconnected` applies to values sent after the first failure, but earlier values are queued', () => {
    virtually((scheduler) => {
      const transport = memoryTransport();
      const options = { transport, reconnect: { delay: 50 }, claimTimeout: 0 } as const;
      const drops = connect('memory:later', { ...options, whileDisconnected: 'drop' });
      drops.data.next('before ');
      const watching = drops.subscribe();
      let received = '';
      scheduler.schedule(() => {
        drops.data.next('lost');
        expect(drops.data.dropped).toBe(1);
        const serving = listen('memory:later', { transport, claimTimeout: 0 }).subscribe(({ bytes }) => {
          bytes.subscribe((chunk) => (received += chunk.toString()));
        });
        scheduler.schedule(() => drops.data.next('after'), 60);
        scheduler.schedule(() => {
          watching.unsubscribe();
          serving.unsubscribe();
        }, 70);
      }, 20);
      scheduler.flush();
      expect(received).toBe('before after');
    });
  });
});

function first(waiting: string): string[] {
  return ['0: c1', '0: d1 ECONNREFUSED', `0: ${waiting}`];
}
