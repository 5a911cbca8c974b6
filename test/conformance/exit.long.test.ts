import { execFile } from 'node:child_process';
import type net from 'node:net';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { allRealPlaces, type Place } from '../support/transport/places.js';
import { isSecure, rawServer } from '../support/sockets/plain-sockets.js';

/**
 * Runs `program` in a new process. In `program`, `connected` is the list of the open connections. Returns the text that
 * each connection sent after its `hello`.
 */
async function lastWords(place: Place, clients: number, program: string): Promise<string[]> {
  const ends: Promise<string>[] = [];
  const address = await rawServer(place, (socket: net.Socket) => {
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString();
      socket.write('go\n');
    });
    ends.push(
      new Promise((resolve) => {
        socket.on('end', () => {
          socket.end();
        });
        socket.on('close', () => resolve(text.replace('hello\n', '')));
      }),
    );
  });
  const options = isSecure(address) ? ', tls: { rejectUnauthorized: false }' : '';
  const script = `
    import { filter, firstValueFrom } from 'rxjs';
    import { Broadcast, connect } from 'rxjs-sockets';
    import { lines } from 'rxjs-sockets/codecs';
    const clients = Array.from({ length: ${clients} }, () =>
      connect(${JSON.stringify(address)}, { codec: lines()${options} }));
    const connected = await Promise.all(clients.map(async (client) => {
      client.subscribe({ error: () => undefined });
      return (await firstValueFrom(client.pipe(filter(({ status }) => status === 'connected')))).connection;
    }));
    // Data that a TLS client sends in the turn of its handshake, or during a delivery, is lost, as with node:tls.
    for (const { data } of connected) {
      data.next('hello');
      await firstValueFrom(data);
    }
    await new Promise(setImmediate);
    const [connection] = connected;
    ${program}`;
  const args = ['--import', 'tsx', '--conditions=rxjs-sockets-source', '--input-type=module', '-e', script];
  const code = await new Promise((resolve) => {
    execFile(process.execPath, args, (error, _stdout, stderr) => resolve(stderr === '' ? (error?.code ?? 0) : stderr));
  });
  expect(code).toBe(7);
  return Promise.all(ends);
}

const exits: readonly (readonly [program: string, texts: readonly string[]])[] = [
  [
    `for (const { data } of connected) { data.next('one'); data.next('two'); }
    process.exit(7);`,
    ['one\ntwo\n', 'one\ntwo\n', 'one\ntwo\n'],
  ],
  [
    `connection.data.subscribe(() => {
      connection.data.next('within a delivery');
      process.exit(7);
    });
    connection.data.next('again');`,
    ['again\nwithin a delivery\n'],
  ],
  [
    `const broadcast = new Broadcast(lines());
    for (const each of connected) broadcast.join(each);
    broadcast.next('for all');
    process.exit(7);`,
    ['for all\n', 'for all\n'],
  ],
  [
    `connection.bytes.sendFrom(['paced, ', 'too']).subscribe();
    connection.data.complete();
    process.exit(7);`,
    ['paced, too'],
  ],
  [
    `process.on('exit', () => connection.data.next('the very last'));
    process.exit(7);`,
    ['the very last\n'],
  ],
  [
    `process.on('uncaughtException', () => process.exit(7));
    connection.data.next('one');
    throw new Error('boom');`,
    ['one\n'],
  ],
];

describe.each(allRealPlaces.map((place) => [place.name, place] as const))('process.exit on %s', (_name, place) => {
  it('C24: everything sent before `process.exit`, or in an `exit` listener, reaches the peer, however it was sent', async () => {
    const chosen = place.options.tls !== undefined ? exits.slice(0, 1) : exits;
    const arrived = await Promise.all(chosen.map(([program, texts]) => lastWords(place, texts.length, program)));
    expect(arrived).toEqual(chosen.map(([, texts]) => texts));
  });
});
