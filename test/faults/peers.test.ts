import { once } from 'node:events';
import net from 'node:net';
import { firstValueFrom } from 'rxjs';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { recordBytes } from '../support/recording/record-bytes.js';
import { realPlaces, tcp, unix } from '../support/transport/places.js';
import { turns, until } from '../support/scheduling/event-loop.js';
import { numbered, Puppet } from './puppets.js';
import { onStage } from './stage.js';

const MiB = 1_048_576;

describe.each(realPlaces)('a peer in another process over $name', (place) => {
  it('C14: a stopped peer delays no other peer, and gets everything once it continues', async () => {
    const stopped = await Puppet.start();
    await onStage(place, async (stage) => {
      const { server, address } = await stage.server(({ data }) => data.subscribe({ error: () => undefined }), {
        maxBuffered: 8 * MiB,
      });
      const id = await stopped.connect(address);
      await stopped.read(id);
      await until(() => server.connections.size === 1);
      const [slow] = server.connections;
      stopped.signal('SIGSTOP');
      const sent = numbered(6 * MiB);
      for (let at = 0; at < sent.length; at += 65_536) slow!.bytes.next(sent.subarray(at, at + 65_536));
      expect(slow!.bytes.bufferedBytes).toBeLessThanOrEqual(8 * MiB);

      // While the first peer is stopped, the server serves another peer.
      const other = await stage.connection(address);
      const served = [...server.connections].find((connection) => connection !== slow);
      served?.bytes.next('hello');
      expect(String(await firstValueFrom(other.bytes))).toBe('hello');
      expect(slow!.bytes.bufferedBytes).toBeGreaterThan(0);

      stopped.signal('SIGCONT');
      slow!.bytes.complete();
      expect((await stopped.event('end', id)).received).toBe(sent.length);
      await stopped.end(id);
      expect((await firstValueFrom(slow!.closed)).reason).toBe('finished');
    });
  });

  it('C8: a connection whose peer stays stopped fails at idleTimeout', async () => {
    const stopped = await Puppet.start();
    await onStage(place, async (stage) => {
      const { address, accepted } = await stage.accepting({ idleTimeout: 100 });
      await stopped.connect(address);
      const near = await accepted;
      stopped.signal('SIGSTOP');
      expect((await recordBytes(near.bytes).all()).end).toBe('ERR_TIMEOUT_IDLE');
    });
  });

  it('C4: a connection whose peer never reads fails with ERR_OVERFLOW', async () => {
    const reader = await Puppet.start();
    await onStage(place, async (stage) => {
      const { server, address, accepted } = await stage.accepting({ maxBuffered: 200_000 });
      await reader.connect(address);
      const near = await accepted;
      let most = 0;
      while (!near.bytes.closed) {
        near.bytes.next(Buffer.alloc(50_000));
        most = Math.max(most, near.bytes.bufferedBytes);
        await turns(1);
      }
      expect(most).toBeLessThanOrEqual(250_000);
      expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed', error: { code: 'ERR_OVERFLOW' } });
      expect(server.connections.size).toBe(0);
    });
  });

  it('C7: if a killed peer had read everything, all that the peer wrote arrives, followed by a clean end', async () => {
    const killed = await Puppet.start();
    await onStage(place, async (stage) => {
      const { address, accepted } = await stage.accepting();
      const id = await killed.connect(address);
      const received = recordBytes((await accepted).bytes).all();
      await killed.write(id, 100_000);
      await killed.kill();
      const { data, end } = await received;
      expect(data.equals(numbered(100_000))).toBe(true);
      // The kernel closes the sockets of a killed process cleanly, as if the program had ended.
      expect(end).toBe('fin');
    });
  });

  it('C8: if a peer is killed with unread data, the connection fails and does not complete', async () => {
    const killed = await Puppet.start();
    await onStage(place, async (stage) => {
      const { address, accepted } = await stage.accepting();
      const id = await killed.connect(address);
      const near = await accepted;
      const received = recordBytes(near.bytes).all();
      await killed.write(id, 1_000);
      near.bytes.next(Buffer.alloc(200_000));
      await until(() => near.stats.bytesWritten >= 200_000 && near.stats.bytesRead === 1_000);
      await killed.kill();
      expect(await received).toEqual({ data: numbered(1_000), end: 'ECONNRESET' });
      expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed', error: { code: 'ECONNRESET' } });
    });
  });

  it('C10: if nobody subscribes to the data of a peer, the death of that peer affects no other connection', async () => {
    const killed = await Puppet.start();
    await onStage(place, async (stage) => {
      const { server, address } = await stage.server(() => undefined);
      const ids = [await killed.connect(address), await killed.connect(address)];
      await until(() => server.connections.size === 2);
      const ends = [...server.connections].map((connection) => firstValueFrom(connection.closed));
      for (const connection of server.connections) connection.bytes.next(Buffer.alloc(100_000));
      await killed.write(ids[0]!, 100);
      await killed.kill();
      for (const { reason } of await Promise.all(ends)) expect(reason).toBe('failed');
      const next = await stage.connection(address);
      expect(next.remote.transport).toBe(place.name);
    });
  });

  it('C11: close() sends the complete reply to a late reader, even if data from that reader stays unread', async () => {
    const peer = await Puppet.start();
    await onStage(place, async (stage) => {
      const { address, accepted } = await stage.accepting();
      const id = await peer.connect(address);
      await peer.write(id, 200_000);
      const near = await accepted;
      near.bytes.next(numbered(900_000));
      const closed = near.close();
      await peer.read(id);
      expect((await peer.event('end', id)).received).toBe(900_000);
      await peer.end(id);
      await closed;
      expect((await firstValueFrom(near.closed)).reason).toBe('finished');
    });
  });
});

describe('a busy event loop', () => {
  /** Blocks the event loop for `time` ms. */
  function block(time: number): void {
    const end = Date.now() + time;
    while (Date.now() < end);
  }

  it.each(realPlaces)('C23: causes no idle timeout over $name if bytes have arrived in the meantime', (place) =>
    onStage(place, async (stage) => {
      const peer = await Puppet.start();
      const { address, accepted } = await stage.accepting({ idleTimeout: 300 });
      const id = await peer.connect(address);
      const near = await accepted;
      const received = recordBytes(near.bytes).all();
      // The bytes arrive while the loop is busy. They are still in the kernel when the timer is overdue.
      void peer.write(id, 10_000);
      void peer.end(id);
      await turns(1);
      block(500);
      expect(await received).toEqual({ data: numbered(10_000), end: 'fin' });
      near.destroy();
      await peer.kill();
    }),
  );

  it.each(realPlaces)(
    'S5: delays the clients of a server over $name, but all are served, even with a backlog of one',
    (place) =>
      onStage(place, async (stage) => {
        const { address } = await stage.server(
          ({ data }) => {
            data.next('hello');
            data.complete();
            data.subscribe({ error: () => undefined });
          },
          { backlog: 1 },
        );
        const many = Array.from({ length: 4 }, () => dialUntilServed(address));
        block(300);
        expect(await Promise.all(many)).toEqual(many.map(() => 'hello'));
      }),
  );

  it('S4: a client that resets its connection before it is accepted affects no other client', () =>
    onStage(tcp, async (stage) => {
      const puppet = await Puppet.start();
      const { server, address } = await stage.server<string, string>(({ data }) => data.subscribe(data), {
        codec: lines(),
      });
      const hold = server.hold();
      for (let count = 0; count < 5; count++) await puppet.reset(await puppet.connect(address));
      hold.release();
      const { data } = await stage.connection<string, string>(address, { codec: lines() });
      data.next('still there');
      expect(await firstValueFrom(data)).toBe('still there');
      await puppet.kill();
      // If the server accepts a client that has already reset its connection, the server removes that connection.
      await until(() => server.connections.size === 1);
    }));
});

/** Dials until the server answers. Over unix sockets, a full backlog rejects a dial with EAGAIN. */
async function dialUntilServed(address: Parameters<Puppet['connect']>[0]): Promise<string> {
  for (;;) {
    const socket =
      address.transport === 'tcp' ? net.connect(address.port, address.host) : net.connect({ path: pathOf(address) });
    try {
      const [chunk] = (await once(socket, 'data')) as [Buffer];
      await once(socket, 'close');
      return String(chunk);
    } catch {
      socket.destroy();
      await turns(1);
    }
  }
}

function pathOf(address: Parameters<Puppet['connect']>[0]): string {
  return address.transport === 'unix' ? address.path : '';
}

describe('a server whose socket file is replaced', () => {
  it('S8: keeps its connections, and does not remove the new file', () =>
    onStage(unix, async (stage) => {
      const { rename, unlink, stat } = await import('node:fs/promises');
      const { server, address } = await stage.server<string, string>(({ data }) => data.subscribe(data), {
        codec: lines(),
      });
      const path = pathOf(address);
      const { data } = await stage.connection<string, string>(address, { codec: lines() });
      const usurper = net.createServer((socket) => socket.end('mine\n')).listen(`${path}.other`);
      await once(usurper, 'listening');
      await rename(`${path}.other`, path);
      data.next('still there');
      expect(await firstValueFrom(data)).toBe('still there');
      await server.shutdown();
      expect((await stat(path)).isSocket()).toBe(true);
      const { data: theirs } = await stage.connection<string, string>(address, { codec: lines() });
      expect(await firstValueFrom(theirs)).toBe('mine');
      await new Promise((resolve) => usurper.close(resolve));
      await unlink(path).catch(() => undefined);
    }));
});
