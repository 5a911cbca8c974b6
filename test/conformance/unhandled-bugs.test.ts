/* eslint-disable rxjs-x/no-async-subscribe, rxjs-x/prefer-observer, @typescript-eslint/no-deprecated --
   what a beginner might write */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { config, firstValueFrom, map, Subject, Subscriber, throwError } from 'rxjs';
import { connect, listen, sendTo, serve, type SocketError } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { settled } from '../support/scheduling/event-loop.js';
import { tcp } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { rawClient, rawServer } from '../support/sockets/plain-sockets.js';
import { record } from '../support/recording/record.js';
import { until } from '../support/scheduling/event-loop.js';
import { type Lines, unhandled, reported, consume } from '../support/errors/unhandled-errors.js';

describe('errors that stay unhandled', () => {
  const boom = new Error('boom');

  /** Returns the unhandled errors of a connection that `begin` reads. If `reset`, the client resets the connection. */
  async function after(begin: (connection: Lines) => unknown, reset = false): Promise<unknown[]> {
    const errors = unhandled();
    let near: Lines | undefined;
    const { address } = await serverAt<string, string>(
      tcp,
      (connection) => {
        near = connection;
        begin(connection);
      },
      { codec: lines() },
    );
    const raw = await rawClient(address);
    raw.write('hello\n');
    await until(() => near?.stats.bytesRead === 6);
    await reported();
    if (reset) {
      raw.resetAndDestroy();
      await firstValueFrom((near as Lines).closed);
      await reported();
    }
    return errors;
  }

  it.each<[string, (connection: Lines) => unknown]>([
    [
      'an operator that throws',
      ({ data }) =>
        data
          .pipe(
            map(() => {
              throw boom;
            }),
          )
          .subscribe(() => undefined),
    ],
    [
      'a subscriber that throws',
      ({ data }) =>
        data.subscribe(() => {
          throw boom;
        }),
    ],
    [
      'an observer that throws',
      ({ data }) =>
        data.subscribe({
          next: () => {
            throw boom;
          },
        }),
    ],
    [
      'an async subscriber that rejects',
      ({ data }) =>
        data.subscribe(async () => {
          await settled();
          throw boom;
        }),
    ],
    ['an async observer that rejects', ({ data }) => data.subscribe({ next: () => Promise.reject(boom) })],
    ['a source of sendFrom', ({ data }) => data.sendFrom(throwError(() => boom)).subscribe()],
    [
      'an operator before sendTo',
      ({ data }) =>
        data
          .pipe(
            map(() => {
              throw boom;
            }),
            sendTo(data),
          )
          .subscribe(),
    ],
  ])('S19: an error from %s is reported once as unhandled', async (_what, begin) => {
    expect(await after(begin)).toEqual([boom]);
  });

  it('S19: an exception in an error handler is reported as unhandled', async () => {
    const begin = ({ data }: Lines): unknown =>
      data.subscribe({
        error: () => {
          throw boom;
        },
      });
    expect(await after(begin, true)).toEqual([boom]);
  });

  it('S19: `config.onUnhandledError` of RxJS gets the unhandled errors, and no other errors', async () => {
    const events: unknown[] = [];
    config.onUnhandledError = (error: unknown) => void events.push(error);
    onTestFinished(() => {
      config.onUnhandledError = null;
    });
    const bad = ({ data }: Lines): unknown =>
      data
        .pipe(
          map(() => {
            throw boom;
          }),
        )
        .subscribe();
    expect(await after(bad)).toEqual([]);
    expect(events).toEqual([boom]);
    expect(await after(({ data }) => data.subscribe(), true)).toEqual([]);
    expect(events).toEqual([boom]);
  });

  it('S19: if a subscription to a client has no error handler, an error of the client is unhandled', async () => {
    const begin: [string, (client: ReturnType<typeof connect<string, string>>) => unknown][] = [
      ['data', ({ data }) => data.subscribe(() => undefined)],
      ['derived', ({ data }) => data.pipe(map((line) => `${line}!`)).subscribe(() => undefined)],
      ['states', (client) => client.subscribe(() => undefined)],
    ];
    for (const [, start] of begin) {
      const errors = unhandled();
      const address = await rawServer(tcp, (socket) => {
        socket.resume();
        setImmediate(() => socket.resetAndDestroy());
      });
      const client = connect<string, string>(address, { codec: lines() });
      start(client);
      await until(() => errors.length > 0);
      expect(errors).toMatchObject([{ code: 'ECONNRESET' }]);
    }
  });

  it('S19: if a `send` on a client is not awaited and fails, the rejection is unhandled', async () => {
    const errors = unhandled();
    const address = await rawServer(tcp, (socket) => {
      socket.pause();
      setTimeout(() => socket.resetAndDestroy(), 20);
    });
    const client = connect<string, string>(address, { codec: lines({ maxLength: 10_000_000 }) });
    client.subscribe({ error: () => undefined });
    void client.data.send('x'.repeat(9_000_000));
    await until(() => errors.length > 0);
    expect(errors.length).toBe(1);
  });

  it('S19: an awaited `send` and a `for await` loop reject with the error', async () => {
    const seen: unknown[] = [];
    const errors = await after(({ data }) => {
      void (async () => {
        try {
          await consume(data);
        } catch (error) {
          seen.push((error as SocketError).code);
        }
        try {
          await data.send('more');
        } catch (error) {
          seen.push((error as SocketError).code);
        }
      })();
    }, true);
    expect(seen).toEqual(['ECONNRESET', 'ECONNRESET']);
    expect(errors).toEqual([]);
  });

  it('S19: an error from a handler of `serve` is reported in `incidents`, not as unhandled', async () => {
    const errors = unhandled();
    const server = listen<string, string>({ port: 0 }, { codec: lines() });
    const incidents = record(server.incidents);
    server
      .pipe(
        serve(({ data }) =>
          data.pipe(
            map(() => {
              throw boom;
            }),
          ),
        ),
      )
      .subscribe();
    const raw = await rawClient(await firstValueFrom(server.listening));
    raw.write('hello\n');
    expect(await incidents.count(1)).toMatchObject([{ code: 'ERR_HANDLER', cause: boom }]);
    await reported();
    expect(errors).toEqual([]);
    await server.shutdown();
  });
});

describe('observers', () => {
  it('S19: a partial observer keeps its own `this`, and all observers are called in the order of RxJS', async () => {
    const events: string[] = [];
    class Watcher {
      name = 'mine';
      next(line: string): void {
        events.push(`${this.name} ${line}`);
      }
      complete(): void {
        events.push(`${this.name} the end`);
      }
    }
    const subject = new Subject<string>();
    subject.subscribe({
      next: (line) => events.push(`subject ${line}`),
      complete: () => events.push('subject the end'),
    });
    const subscriber = new Subscriber<string>({
      next: (line: string) => events.push(`subscriber ${line}`),
      complete: () => events.push('subscriber the end'),
    } as never);
    const { address } = await serverAt<string, string>(
      tcp,
      ({ data }) => {
        data.subscribe(new Watcher());
        data.subscribe(subject);
        data.subscribe(subscriber);
        data.subscribe((line) => events.push(`function ${line}`));
        data.pipe(map((line) => `mapped ${line}`)).subscribe({ next: (line) => events.push(line) });
      },
      { codec: lines() },
    );
    const raw = await rawClient(address);
    raw.end('one\ntwo\n');
    await until(() => events.includes('subscriber the end'));
    const each = (line: string): string[] => [
      `mine ${line}`,
      `subject ${line}`,
      `subscriber ${line}`,
      `function ${line}`,
      `mapped ${line}`,
    ];
    expect(events).toEqual([...each('one'), ...each('two'), 'mine the end', 'subject the end', 'subscriber the end']);
  });

  it('S19: an observer that unsubscribes itself within `next` gets nothing more', async () => {
    const events: string[] = [];
    const { address } = await serverAt<string, string>(
      tcp,
      ({ data }) => {
        const subscription = data.subscribe((line) => {
          events.push(line);
          subscription.unsubscribe();
        });
      },
      { codec: lines() },
    );
    const raw = await rawClient(address);
    raw.write('one\ntwo\n');
    await until(() => events.length > 0);
    await settled();
    expect(events).toEqual(['one']);
  });

  it('S19: every kind of error handler gets the error', async () => {
    const events: unknown[] = [];
    const subject = new Subject<string>();
    subject.subscribe({ error: (error: unknown) => events.push(error) });
    let near: Lines | undefined;
    const { address } = await serverAt<string, string>(
      tcp,
      (connection) => {
        near = connection;
        const { data } = connection;
        data.subscribe({ error: (error: unknown) => events.push(error) });
        data.subscribe(subject);
        data.pipe(map((line) => `${line}!`)).subscribe({ error: (error: unknown) => events.push(error) });
        data.subscribe(undefined, (error: unknown) => events.push(error));
      },
      { codec: lines() },
    );
    const raw = await rawClient(address);
    await until(() => near !== undefined);
    raw.resetAndDestroy();
    await until(() => events.length === 4);
    expect(events[0]).toMatchObject({ code: 'ECONNRESET' });
    expect(new Set(events).size).toBe(1);
  });
});

describe('a separate process', () => {
  const run = promisify(execFile);

  async function outcome(program: string): Promise<{ code: number; output: string }> {
    const args = ['--import', 'tsx', '--conditions=rxjs-sockets-source', '--input-type=module', '-e', program];
    try {
      const { stdout } = await run(process.execPath, args);
      return { code: 0, output: stdout };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
      return { code, output: stdout + stderr };
    }
  }

  const start = `
    import net from 'node:net';
    import { firstValueFrom, map } from 'rxjs';
    import { listen } from 'rxjs-sockets';
    import { lines } from 'rxjs-sockets/codecs';
    const server = listen({ port: 0 }, { codec: lines() });
    const visit = async () => {
      const socket = net.connect((await firstValueFrom(server.listening)).port, () => socket.write('hello\\n'));
      setTimeout(() => socket.resetAndDestroy(), 50);
    };
    setTimeout(() => { console.log('alive'); process.exit(0); }, 300);
  `;

  it('S19: a reset does not end the process of a server without error handlers', async () => {
    const program = `${start}
      server.subscribe(({ data }) => { data.subscribe((line) => data.next(line)); });
      await visit();`;
    expect(await outcome(program)).toEqual({ code: 0, output: 'alive\n' });
  });

  it('S19: an exception in an operator ends the process', async () => {
    const program = `${start}
      server.subscribe(({ data }) => { data.pipe(map(() => { throw new Error('a bug of ours'); })).subscribe(); });
      await visit();`;
    const { code, output } = await outcome(program);
    expect(code).toBe(1);
    expect(output).toContain('a bug of ours');
    expect(output).not.toContain('alive');
  });
});
