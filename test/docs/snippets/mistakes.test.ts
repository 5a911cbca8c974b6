import '../../support/leaks.js';
import { EventEmitter } from 'node:events';
import net from 'node:net';
import { join } from 'node:path';
import {
  concatMap,
  config,
  firstValueFrom,
  fromEvent,
  map,
  merge,
  mergeMap,
  Observable,
  Subject,
  takeUntil,
  timer,
} from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import {
  backoff,
  concatMapPaced,
  connect,
  type Channel,
  type Connection,
  mergeMapPaced,
  serve,
  type Server,
} from 'rxjs-sockets';
import { jsonLines, lines, mapCodec } from 'rxjs-sockets/codecs';
import { memoryTransport } from 'rxjs-sockets/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { program } from '../../examples/program.js';
import { network, type Network, pair } from '../../support/transport/memory/memory-network.js';
import { recordingConsole } from '../../support/recording/recording-console.js';
import { tcp } from '../../support/transport/places.js';
import { rawServer } from '../../support/sockets/plain-sockets.js';
import { readAll } from '../../support/sockets/read-socket.js';
import { record } from '../../support/recording/record.js';
import { turns, until } from '../../support/scheduling/event-loop.js';
import { install } from '../../support/docs/code-blocks.js';

/** The errors that RxJS reports as unhandled until the end of the test. */
function unhandled(): unknown[] {
  const errors: unknown[] = [];
  const { onUnhandledError } = config;
  config.onUnhandledError = (error) => errors.push(error);
  onTestFinished(() => {
    config.onUnhandledError = onUnhandledError;
  });
  return errors;
}

/** A function `answer` whose promises never settle, and the lines that were passed to `answer`. */
function stuck(): { answer(line: string): Promise<string>; asked: string[] } {
  const asked: string[] = [];
  return { answer: (line) => new Promise(() => asked.push(line)), asked };
}

describe('the page about mistakes', () => {
  it('a client without an error handler causes an unhandled error', async () => {
    const { client, peer } = await pair();
    const console = recordingConsole();
    const errors = unhandled();
    client.data.subscribe((line) => console.log(line));
    peer.destroy();
    await until(() => errors.length > 0);
    expect(errors).toMatchObject([{ code: 'ECONNRESET' }]);
  });

  it('a client with an error handler causes no unhandled error', async () => {
    const { client, peer } = await pair();
    const console = { ...recordingConsole(), error: (text: string) => void console.written.push(text) };
    const errors = unhandled();
    client.data.subscribe({
      next: (line) => console.log(line),
      error: (error: unknown) => console.error(String(error)),
    });
    peer.destroy();
    await until(() => console.written.length > 0);
    await turns();
    expect(console.written).toEqual([expect.stringContaining('ECONNRESET')]);
    expect(errors).toEqual([]);
  });

  it("S19: an accepted connection's error is an incident, but unhandled if a plain Observable repeats it", async () => {
    const { connection, peer, server } = await pair();
    const errors = unhandled();
    const incidents = record(server.incidents);
    const between = new Subject<string>();
    peer.data.subscribe();
    peer.data.pipe(map((line) => line.length)).subscribe();
    expect(errors).toEqual([]);
    peer.data.subscribe(between);
    between.subscribe();
    merge(peer.data, peer.data).subscribe();
    connection.destroy();
    expect(await incidents.count(1)).toMatchObject([{ code: 'ECONNRESET' }]);
    await until(() => errors.length === 2);
    await turns();
    expect(errors).toHaveLength(2);
  });

  it('mergeMap on a server ends the server when one client fails', async () => {
    const { server, talk, meet } = talker();
    const addresses = record(server.listening);
    const errors = unhandled();
    server.pipe(mergeMap((connection) => talk(connection))).subscribe();
    await meet();
    expect(await addresses.end()).toBe('complete');
    await until(() => errors.length === 1);
  });

  it('S4: mergeMapPaced on a server survives a client that fails', async () => {
    const { server, talk, meet } = talker();
    const addresses = record(server.listening);
    server.pipe(mergeMapPaced((connection) => talk(connection), 100)).subscribe();
    for (let visit = 0; visit < 3; visit++) await meet();
    expect(addresses.endings).toEqual([]);
  });

  it('serve on a server survives a client that fails', async () => {
    const { server, talk, meet } = talker();
    const addresses = record(server.listening);
    server.pipe(serve((connection) => talk(connection), { concurrent: 100 })).subscribe();
    for (let visit = 0; visit < 3; visit++) await meet();
    expect(addresses.endings).toEqual([]);
  });

  it('an interval with the channel as its subscriber continues after the connection has ended', async () => {
    expect(
      await intervalsLeft((server, interval) => {
        server.subscribe(({ data }) => interval(1_000).subscribe(data));
      }),
    ).toBe(1);
  });

  it('an interval passed to sendFrom ends with the connection', async () => {
    expect(
      await intervalsLeft((server, interval) => {
        server.subscribe(({ data }) => data.sendFrom(interval(1_000)).subscribe());
      }),
    ).toBe(0);
  });

  it('concatMap on a channel buffers every message', async () => {
    const { answer, asked } = stuck();
    const taken = await takenOf((data) => {
      data.pipe(concatMap(answer)).subscribe(data);
    });
    expect([taken, asked]).toEqual([['one', 'two', 'three'], ['one']]);
  });

  it('concatMapPaced on a channel takes a message only when it can answer it', async () => {
    const { answer, asked } = stuck();
    const taken = await takenOf((data) => {
      data.pipe(concatMapPaced(answer)).subscribe(data);
    });
    expect([taken, asked]).toEqual([['one'], ['one']]);
  });

  it('a Subject between a channel and concatMap buffers every message', async () => {
    const { answer, asked } = stuck();
    const taken = await takenOf((data) => {
      const questions = new Subject<string>();
      data.subscribe(questions);
      questions.pipe(concatMap(answer)).subscribe(data);
    });
    expect([taken, asked]).toEqual([['one', 'two', 'three'], ['one']]);
  });

  it('firstValueFrom on the data of a client ends the connection after one value', async () => {
    const { client, heard } = greeter();
    const greeting = await firstValueFrom(client.data);
    client.data.next('hello');
    const answer = await firstValueFrom(client.data);
    expect([greeting, answer]).toEqual(['greeting 1', 'greeting 2']);
    expect(heard).toEqual(['2: hello']);
  });

  it('firstValueFrom on an opened connection keeps the connection open', async () => {
    const { client, heard } = greeter();
    await using connection = await client.open();
    const greeting = await firstValueFrom(connection.data);
    connection.data.next('hello');
    const answer = await firstValueFrom(connection.data);
    expect([greeting, answer]).toEqual(['greeting 1', 'heard hello']);
    expect(heard).toEqual(['1: hello']);
  });

  it('takeUntil on a server cuts a report off', async () => {
    const { net, server, report, process, rest } = reporter();
    server.pipe(serve(report), takeUntil(fromEvent(process, 'SIGTERM'))).subscribe();
    const received = record(net.connect('memory:report', { codec: lines() }).data);
    await received.count(1);
    process.emit('SIGTERM');
    rest();
    expect(await received.end()).toBe('complete');
    expect(received.values).toEqual(['one']);
  });

  it('shutdown lets a server finish a report', async () => {
    const { net, server, report, process, rest } = reporter();
    server.pipe(serve(report)).subscribe();
    process.once('SIGTERM', () => void server.shutdown());
    const received = record(net.connect('memory:report', { codec: lines() }).data);
    await received.count(1);
    process.emit('SIGTERM');
    rest();
    expect(await received.end()).toBe('complete');
    expect(received.values).toEqual(['one', 'two']);
  });

  it('merge of two channels buffers every message', async () => {
    const { answer: store, asked } = stuck();
    const errors = unhandled();
    const [left, right] = await Promise.all([fed(), fed()]);
    merge(left.data, right.data).pipe(concatMap(store)).subscribe();
    await until(() => left.taken.length === 3 && right.taken.length === 3);
    expect(asked).toHaveLength(1);
    expect(() => merge(left.data, right.data).pipe(concatMapPaced(store))).toThrow(
      expect.objectContaining({ code: 'ERR_NOT_A_FLOW' }),
    );
    left.fail();
    await until(() => errors.length > 0);
    expect(errors).toMatchObject([{ code: 'ECONNRESET' }]);
  });

  it('merge after a paced operator takes one message of each channel at a time', async () => {
    const { answer: store } = stuck();
    const console = { error: (_text: string) => undefined };
    const [left, right] = await Promise.all([fed(), fed()]);
    const stored = [left, right].map(({ data }) => data.pipe(concatMapPaced(store)));
    merge(...stored).subscribe({ error: (error: unknown) => console.error(String(error)) });
    await until(() => left.taken.length > 0 && right.taken.length > 0);
    await turns();
    expect([left.taken, right.taken]).toEqual([['one'], ['one']]);
  });

  it("process.exit loses data that does not fit into the kernel's buffers", async () => {
    const received = await reportOf(`
      for (const line of report) connection.data.next(line);
      process.exit();
    `);
    expect(received).toBeGreaterThan(0);
    expect(received).toBeLessThan(300);
  });

  it('close() before the end of a process sends everything', async () => {
    const received = await reportOf(`
      for (const line of report) await connection.data.send(line);
      await connection.close();
    `);
    expect(received).toBe(300);
  });

  it('virtual time never ends while a client reconnects', async () => {
    const folder = await install(
      new Map([
        [
          'endless.ts',
          `
          import { TestScheduler } from 'rxjs/testing';
          import { backoff, connect } from 'rxjs-sockets';
          import { memoryTransport } from 'rxjs-sockets/testing';
          const transport = memoryTransport();
          const scheduler = new TestScheduler(() => undefined);
          let attempts = 0;
          const console = { log: (status) => status === 'connecting' && ++attempts % 1_000 === 0 && globalThis.console.log(attempts) };
          scheduler.run(() => {
            const client = connect('memory:nobody', { transport, reconnect: backoff() });
            client.subscribe(({ status }) => console.log(status));
          });
          globalThis.console.log('over');
          `,
        ],
      ]),
    );
    const running = program([join(folder, 'endless.ts')]);
    await running.until(/^5000$/m);
    expect(running.lines).not.toContain('over');
    expect(await running.interrupt()).toBe('SIGINT');
  });

  it('virtual time ends after takeUntil has ended the client', () => {
    const transport = memoryTransport();
    const scheduler = new TestScheduler((actual, expected) => expect(actual).toEqual(expected));
    const console = recordingConsole();
    scheduler.run(() => {
      const client = connect('memory:nobody', { transport, reconnect: backoff() });
      client.pipe(takeUntil(timer(60_000))).subscribe(({ status }) => console.log(status));
    });
    expect(console.written.slice(0, 4)).toEqual(['connecting', 'disconnected', 'waiting', 'connecting']);
  });
});

/** Returns how many intervals still run after the only client of a server has disconnected. */
async function intervalsLeft(
  mistake: (server: Server<number, number>, interval: (period: number) => Observable<number>) => void,
): Promise<number> {
  let running = 0;
  const { listen, connect } = network();
  const server = listen('memory:ticks', { codec: jsonLines<number>() });
  mistake(
    server,
    () =>
      new Observable((subscriber) => {
        running++;
        subscriber.next(0);
        return () => running--;
      }),
  );
  const connection = await connect('memory:ticks', { codec: jsonLines<number>() }).open();
  expect(await firstValueFrom(connection.data)).toBe(0);
  connection.destroy();
  await until(() => server.connections.size === 0);
  await turns();
  return running;
}

/** Calls `mistake` with a channel that has received three lines, and returns the lines taken from the channel. */
async function takenOf(mistake: (data: Channel<string>) => void): Promise<string[]> {
  const { data, taken } = await fed();
  mistake(data);
  await until(() => taken.length > 0);
  await turns();
  return taken;
}

/** A channel that has received three lines, and a list of the lines taken from the channel. */
async function fed(): Promise<{ data: Channel<string>; taken: string[]; fail(): void }> {
  const taken: string[] = [];
  const watched = mapCodec(
    lines(),
    (line) => {
      taken.push(line);
      return line;
    },
    (line: string) => line,
  );
  const { connection, peer } = await pair(watched);
  for (const line of ['one', 'two', 'three']) connection.data.next(line);
  await until(() => peer.stats.bytesRead === 14);
  return { data: peer.data, taken, fail: () => connection.destroy() };
}

/** A server that greets each connection, then repeats what it receives. */
function greeter(): { client: ReturnType<typeof connect<string, string>>; heard: string[] } {
  const { listen, connect } = network();
  const heard: string[] = [];
  let greeted = 0;
  listen('memory:greeter', { codec: lines(), halfOpen: false }).subscribe(({ data }) => {
    const number = ++greeted;
    data.next(`greeting ${number}`);
    data.subscribe((line) => {
      heard.push(`${number}: ${line}`);
      data.next(`heard ${line}`);
    });
  });
  return { client: connect('memory:greeter', { codec: lines() }), heard };
}

/** A server whose handler fails when a client resets its connection. `meet` runs one such client. */
function talker(): {
  server: Server<string, string>;
  talk(connection: Connection<string, string>): Promise<void>;
  meet(): Promise<void>;
} {
  const { listen, connect } = network();
  const server = listen('memory:talk', { codec: lines() });
  const incidents = record(server.incidents);
  return {
    server,
    talk: async ({ data }) => {
      for await (const line of data) data.next(line);
    },
    meet: async () => {
      const { length } = incidents.values;
      const connection = await connect('memory:talk', { codec: lines() }).open();
      connection.data.next('hello');
      expect(await firstValueFrom(connection.data)).toBe('hello');
      connection.destroy();
      await incidents.count(length + 1);
    },
  };
}

/** A server whose handler pauses in the middle of a report. */
function reporter(): {
  net: Network;
  server: Server<string, string>;
  report(): AsyncGenerator<string>;
  process: EventEmitter;
  rest(): void;
} {
  const net = network();
  let rest = (): void => undefined;
  const waiting = new Promise<void>((resolve) => (rest = resolve));
  async function* report(): AsyncGenerator<string> {
    yield 'one';
    await waiting;
    yield 'two';
  }
  const server = net.listen('memory:report', { codec: lines() });
  return { net, server, report, process: new EventEmitter(), rest };
}

/** Runs a program that sends 300 lines to a peer that reads late, and returns how many lines arrive. */
async function reportOf(code: string): Promise<number> {
  const sockets: net.Socket[] = [];
  const server = await rawServer(tcp, (socket) => {
    sockets.push(socket.pause());
    socket.on('end', () => socket.end());
  });
  const folder = await install(
    new Map([
      [
        'report.ts',
        `
        import { connect } from 'rxjs-sockets';
        import { lines } from 'rxjs-sockets/codecs';
        const report = Array.from({ length: 300 }, () => 'x'.repeat(65_535));
        const options = { codec: lines(), maxBuffered: 100_000_000, closeTimeout: 0 };
        const connection = await connect(${JSON.stringify(server)}, options).open();
        ${code}
        `,
      ],
    ]),
  );
  const running = program([join(folder, 'report.ts')]);
  await until(() => sockets.length > 0);
  const [socket] = sockets as [net.Socket];
  if (code.includes('process.exit')) await running.ended;
  const received = await readAll(socket);
  expect(await running.ended, running.errors).toBe(0);
  return Math.floor(received.length / 65_536);
}
