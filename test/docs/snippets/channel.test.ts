import '../../support/leaks.js';
import { createHash } from 'node:crypto';
import { firstValueFrom, map } from 'rxjs';
import { type Channel, formatAddress, sendTo } from 'rxjs-sockets';
import { fixedLength, lines, text } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { pair } from '../../support/transport/memory/memory-network.js';
import { recordingConsole } from '../../support/recording/recording-console.js';
import { record } from '../../support/recording/record.js';
import { turns } from '../../support/scheduling/event-loop.js';

describe('the examples of Channel show how to', () => {
  it('receive, send and finish', async () => {
    const { connection, peer } = await pair();
    const console = recordingConsole();
    const received = record(peer.data);
    connection.data.subscribe((line) => console.log(line)); // receive
    connection.data.next('hello'); // send
    connection.data.complete(); // FIN; receiving goes on
    expect(await received.end()).toBe('complete');
    expect(received.values).toEqual(['hello']);
    peer.data.next('and you');
    await peer.close();
    expect(console.written).toEqual(['and you']);
  });

  it('watch whether a channel is writable', async () => {
    const { connection, peer } = await pair();
    const calls: string[] = [];
    const sensor = { start: () => calls.push('start'), stop: () => calls.push('stop') };
    connection.data.writable.subscribe((writable) => (writable ? sensor.start() : sensor.stop()));
    for (let line = 0; line < 200; line++) connection.data.next('x'.repeat(999));
    expect(calls).toEqual(['start', 'stop']);
    const received = record(peer.data);
    await received.count(200);
    expect(calls).toEqual(['start', 'stop', 'start']);
  });

  it('count the queued bytes', async () => {
    const { connection } = await pair(text());
    const console = recordingConsole();
    connection.data.next('hello\n');
    console.log(connection.data.bufferedBytes); // 6
    expect(console.written).toEqual([6]);
  });

  it('see whether a channel has ended', async () => {
    const { connection } = await pair();
    const console = recordingConsole();
    connection.data.complete();
    console.log(connection.data.closed); // true
    expect(console.written).toEqual([true]);
  });

  it('count the dropped values', async () => {
    const { connection, peer } = await pair();
    const received = record(peer.data);
    if (connection.data.dropped > 0) connection.data.next('some news was dropped');
    connection.data.complete();
    await received.end();
    expect(received.values).toEqual([]);
  });

  it('send a value', async () => {
    const { connection, peer } = await pair();
    const received = record(peer.data);
    connection.data.next('hello');
    expect(await received.count(1)).toEqual(['hello']);
  });

  it('send and finish', async () => {
    const { connection, peer } = await pair();
    const received = record(peer.data);
    connection.data.next('bye');
    connection.data.complete();
    expect(await received.end()).toBe('complete');
    expect(received.values).toEqual(['bye']);
  });

  it('destroy a connection', async () => {
    const { connection } = await pair();
    connection.data.error(new Error('the peer talks nonsense'));
    const { reason, error } = await firstValueFrom(connection.closed);
    expect(reason).toBe('destroyed');
    expect(error).toMatchObject({ code: 'ERR_CLOSED', cause: { message: 'the peer talks nonsense' } });
  });

  it("send at the peer's pace", async () => {
    const { connection, peer } = await pair();
    const report = Array.from({ length: 300 }, (_, index) => `${index} `.padEnd(1_000, '.'));
    const received = record(peer.data);
    for (const line of report) await connection.data.send(line);
    expect(await received.count(300)).toEqual(report);
  });

  it('send from a source', async () => {
    const { connection, peer } = await pair();
    const received = record(peer.data);
    async function* readLines(): AsyncGenerator<string> {
      yield 'one';
      await turns(1);
      yield 'two';
    }
    connection.data.sendFrom(readLines()).subscribe({
      complete: () => connection.data.complete(),
      error: (error: unknown) => connection.data.error(error),
    });
    expect(await received.end()).toBe('complete');
    expect(received.values).toEqual(['one', 'two']);
  });

  it('send with an operator', async () => {
    const { connection: peer, peer: connection } = await pair();
    const console = recordingConsole();
    const received = record(peer.data);
    connection.data
      .pipe(
        map((line) => line.toUpperCase()),
        sendTo(connection.data),
      )
      .subscribe({ error: (error: unknown) => console.log(String(error)) });
    peer.data.next('hello');
    expect(await received.count(1)).toEqual(['HELLO']);
    void peer.close();
    await connection.close();
    expect(console.written).toEqual(['SocketError: the sending side has ended']);
  });

  it('change the framing', async () => {
    const { connection, peer } = await pair();
    peer.bytes.next('5\nhelloand the rest');
    const size = Number(await firstValueFrom(connection.bytes.framed(lines())));
    const body = await firstValueFrom(connection.bytes.framed(fixedLength(size)));
    expect(String(body)).toBe('hello');
  });

  it('read a body', async () => {
    const { connection, peer } = await pair();
    const hash = createHash('sha256');
    peer.bytes.next('5\nhelloand the rest');
    const size = Number(await firstValueFrom(connection.bytes.framed(lines())));
    for await (const chunk of connection.bytes.body(size)) hash.update(chunk);
    expect(hash.digest('hex')).toBe(createHash('sha256').update('hello').digest('hex'));
    expect(String(await firstValueFrom(connection.bytes))).toBe('and the rest');
  });

  it('hold a channel', async () => {
    const { connection, peer } = await pair();
    const received = record(connection.data);
    const database = {
      ready: async (): Promise<void> => {
        peer.data.next('waits');
        await turns();
        expect(received.values).toEqual([]);
      },
    };
    const hold = connection.data.hold();
    await database.ready();
    hold.release();
    expect(received.values).toEqual(['waits']);
  });
});

describe('the examples of Connection show how to', () => {
  it('see how a connection ended', async () => {
    const { connection, peer } = await pair();
    const console = recordingConsole();
    connection.closed.subscribe(({ reason, error }) => console.log(reason, error?.code)); // 'failed', 'ECONNRESET'
    peer.destroy();
    await firstValueFrom(connection.closed);
    expect(console.written).toEqual(['failed', 'ECONNRESET']);
  });

  it('count the bytes of a connection', async () => {
    const { connection, peer } = await pair();
    peer.data.next('hello');
    await record(connection.data).count(1);
    const { bytesRead, bytesWritten, opened } = connection.stats;
    expect([bytesRead, bytesWritten]).toEqual([6, 0]);
    expect(opened.getTime()).toBeLessThanOrEqual(Date.now());
  });

  it('serve each connection of a server', async () => {
    const { client, peer, server } = await pair();
    peer.destroy();
    const console = recordingConsole();
    server.subscribe((connection) => {
      console.log(`${formatAddress(connection.remote)} has connected`);
      connection.data.subscribe(connection.data);
    });
    const echo: Channel<string> = client.data;
    const received = record(echo);
    await received.end();
    const again = record(echo);
    echo.next('hello');
    expect(await again.count(1)).toEqual(['hello']);
    expect(console.written).toEqual(['memory:pair#2 has connected']);
  });

  it('receive messages', async () => {
    const { connection, peer } = await pair();
    const console = recordingConsole();
    connection.data.subscribe((line) => console.log(line));
    peer.data.next('hello');
    await peer.close();
    expect(console.written).toEqual(['hello']);
  });

  it('receive bytes', async () => {
    const { connection, peer } = await pair();
    const hash = createHash('sha256');
    connection.bytes.subscribe((chunk) => hash.update(chunk));
    peer.data.next('hello');
    await peer.close();
    expect(hash.digest('hex')).toBe(createHash('sha256').update('hello\n').digest('hex'));
  });

  it('wait for the end of a connection', async () => {
    const { connection, peer } = await pair();
    void connection.close();
    void peer.close();
    const { reason } = await firstValueFrom(connection.closed); // 'finished'
    expect(reason).toBe('finished');
  });

  it('close a connection', async () => {
    const { connection, peer } = await pair();
    const received = record(peer.data);
    void received.end().then(() => peer.data.complete());
    connection.data.next('bye');
    await connection.close();
    expect(received.values).toEqual(['bye']);
  });

  it('destroy a connection', async () => {
    const { connection, peer } = await pair();
    const received = record(peer.data);
    connection.destroy(new Error('not welcome'));
    expect(await received.end()).toMatchObject({ code: 'ECONNRESET' });
  });
});
