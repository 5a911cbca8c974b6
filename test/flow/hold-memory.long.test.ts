import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { firstValueFrom } from 'rxjs';
import { type Address, type Connection, parseAddress } from 'rxjs-sockets';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Place, realPlaces } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';

const MiB = 1_048_576;
const amount = 200;

/** Starts a separate process, so that its memory does not count in the process under test. */
function program(name: string, args: readonly string[]): ChildProcess {
  const child = fork(fileURLToPath(new URL(`../support/processes/${name}`, import.meta.url)), args, {
    execArgv: ['--expose-gc'],
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  return child;
}

function flood(address: Address): ChildProcess {
  const where = address.transport === 'tcp' ? String(address.port) : address.transport === 'unix' ? address.path : '';
  return program('flooding-client.mjs', [where, String(amount)]);
}

/** Returns by how many bytes a process grows when plain `node:net` reads the flood. This number doubled in Node 24. */
async function grownByPlainReader(place: Place): Promise<number> {
  const address = parseAddress(await place.address());
  const reader = program('plain-reader.mjs', address.transport === 'unix' ? [address.path] : []);
  const [bound] = (await once(reader, 'message')) as [string | AddressInfo];
  const connected = once(reader, 'message');
  await standstill(flood(parseAddress(typeof bound === 'string' ? { path: bound } : { port: bound.port })));
  await connected;
  reader.send('read');
  const [{ grown }] = (await once(reader, 'message')) as [{ grown: number }];
  return grown;
}

async function writtenBy(child: ChildProcess): Promise<number> {
  child.send('how much?');
  const [answer] = (await once(child, 'message')) as [{ written: number }];
  return answer.written;
}

async function standstill(child: ChildProcess): Promise<number> {
  let written = -1;
  for (let same = 0; same < 20;) {
    const now = await writtenBy(child);
    same = now === written ? same + 1 : 0;
    written = now;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return written;
}

function resident(): number {
  gc?.();
  return process.memoryUsage.rss();
}

describe.each(realPlaces)('a flood over $name', (place) => {
  it('F3: while the Flow is held, a flood fills only kernel buffers and the read-ahead, and after the release, the flood arrives completely', async () => {
    const plain = await grownByPlainReader(place);
    let accepted: (connection: Connection) => void = () => undefined;
    const connected = new Promise<Connection>((resolve) => {
      accepted = resolve;
    });
    const { address } = await serverAt(place, (connection) => accepted(connection));
    const before = resident();
    const child = flood(address);
    const connection = await connected;
    const hold = connection.data.hold();
    let received = 0;
    let peak = 0;
    const end = new Promise<void>((resolve, reject) => {
      connection.data.subscribe({
        next: (chunk) => {
          received += chunk.length;
          peak = Math.max(peak, process.memoryUsage.rss());
        },
        complete: resolve,
        error: reject,
      });
    });
    const written = await standstill(child);
    expect(received).toBe(0);
    expect(connection.stats.bytesRead).toBeLessThanOrEqual(65_536 * 2);
    // The kernel's buffers hold a few MiB at most, however much the client sends.
    expect(written).toBeLessThan(32 * MiB);
    expect(resident() - before).toBeLessThan(16 * MiB);

    hold.release();
    await end;
    expect(received).toBe(amount * MiB);
    expect(peak - before).toBeLessThan(Math.max(64 * MiB, 1.5 * plain));
    connection.data.complete();
    expect((await firstValueFrom(connection.closed)).bytesRead).toBe(amount * MiB);
  });

  it('F1: while the Flow has no subscriber, a flood fills only kernel buffers and the read-ahead', async () => {
    let accepted: (connection: Connection) => void = () => undefined;
    const connected = new Promise<Connection>((resolve) => {
      accepted = resolve;
    });
    const { address } = await serverAt(place, (connection) => accepted(connection));
    const child = flood(address);
    const connection = await connected;
    const written = await standstill(child);
    expect(connection.stats.bytesRead).toBeLessThanOrEqual(65_536 * 2);
    expect(written).toBeLessThan(32 * MiB);
    connection.destroy();
  });
});
