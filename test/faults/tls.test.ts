import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { firstValueFrom, take, toArray } from 'rxjs';
import type { Address } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { authority, server as identity } from '../support/transport/node/tls/certificates.js';
import { realPlaces } from '../support/transport/places.js';
import { onStage } from './stage.js';

function where(address: Address): net.NetConnectOpts {
  if (address.transport === 'tcp') return { port: address.port, host: address.host };
  return { path: address.transport === 'unix' ? address.path : '' };
}

/** The ClientHello of a TLS client. */
async function hello(): Promise<Buffer> {
  const listener = net.createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const client = tls.connect({ port: (listener.address() as net.AddressInfo).port, host: '127.0.0.1' });
  client.on('error', () => undefined);
  const [socket] = (await once(listener, 'connection')) as [net.Socket];
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  listener.close();
  await once(listener, 'close');
  return bytes;
}

describe.each(realPlaces)('a TLS server over $name', (place) => {
  it('S4: drops and reports a client that sends garbage, nothing or half a ClientHello', async () => {
    const whole = await hello();
    await onStage(place, async (stage) => {
      const { server, address } = await stage.server<string, string>(({ data }) => data.subscribe(data), {
        codec: lines(),
        tls: identity,
        handshakeTimeout: 200,
      });
      const incidents = firstValueFrom(server.incidents.pipe(take(3), toArray()));
      for (const bytes of [
        Buffer.from('GET / HTTP/1.1\r\n\r\n'),
        Buffer.alloc(0),
        whole.subarray(0, whole.length / 2),
      ]) {
        const socket = net.connect(where(address));
        socket.on('error', () => undefined);
        await once(socket, 'connect');
        if (bytes.length > 0) socket.write(bytes);
        socket.resume();
        await once(socket, 'close');
      }
      expect((await incidents).map(({ code }) => code).sort()).toEqual([
        'ERR_TIMEOUT_HANDSHAKE',
        'ERR_TIMEOUT_HANDSHAKE',
        'ERR_TLS',
      ]);
      const { data } = await stage.connection<string, string>(address, {
        codec: lines(),
        tls: { ca: authority, servername: 'localhost' },
      });
      data.next('still there');
      expect(await firstValueFrom(data)).toBe('still there');
    });
  });
});
