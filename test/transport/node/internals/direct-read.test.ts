import { once } from 'node:events';
import net from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { onreadSymbols } from '../../../../src/transport/node/internals/direct-read.js';
import '../../../support/leaks.js';

/** An accepted, paused socket, and its plain peer. */
async function accepted(): Promise<{ socket: net.Socket; peer: net.Socket }> {
  const server = net.createServer({ pauseOnConnect: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const peer = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
  const [socket] = (await once(server, 'connection')) as [net.Socket];
  onTestFinished(() => {
    for (const each of [socket, peer, server]) if (each instanceof net.Socket) each.destroy();
    server.close();
  });
  return { socket, peer };
}

describe("reading directly into the library's memory", () => {
  it('C1: received bytes go into the given memory, without a `data` event', async () => {
    const { socket, peer } = await accepted();
    const memory = Buffer.alloc(16);
    const other = Buffer.alloc(4);
    const read: [number, Buffer][] = [];
    const events: string[] = [];
    const taken = onreadSymbols.start(socket, memory, (count, into) => {
      read.push([count, Buffer.from(into.subarray(0, count))]);
      if (into === memory) onreadSymbols.continueIn(socket, other);
      return true;
    });
    expect(taken).toBe(true);
    socket.once('close', () => events.push('close')).resume();
    peer.end('sixteen bytes it + more');
    await once(socket, 'end');
    expect(Buffer.concat(read.map(([, bytes]) => bytes)).toString()).toBe('sixteen bytes it + more');
    expect(read.map(([count]) => count)).toEqual([16, 4, 3]);
    expect([memory.toString(), other.subarray(0, 3).toString()]).toEqual(['sixteen bytes it', 'ore']);
  });

  it("C1: the start of direct reading changes nothing if Node has already read bytes, or if Node's internals have changed", async () => {
    const { socket, peer } = await accepted();
    const callback = (): true => true;
    socket.unshift(Buffer.from('early '));
    expect(onreadSymbols.start(socket, Buffer.alloc(16), callback)).toBe(false);
    expect(socket.read()).toEqual(Buffer.from('early '));
    const [key] = Object.getOwnPropertySymbols(socket).filter(({ description }) => description === 'kBuffer');
    Object.defineProperty((socket as unknown as { _handle: object })._handle, 'useUserBuffer', { value: undefined });
    expect(onreadSymbols.start(socket, Buffer.alloc(16), callback)).toBe(false);
    expect((socket as unknown as Record<symbol, unknown>)[key!]).toBe(null);
    const data = once(socket.resume(), 'data');
    peer.write('late');
    expect(await data).toEqual([Buffer.from('late')]);
  });
});
