import net from 'node:net';
import { firstValueFrom } from 'rxjs';
import { expect, it } from 'vitest';
import { listen } from '../../../src/index.js';
import '../../support/leaks.js';

it.each([
  ['127.0.0.2', '127.0.0.2'],
  ['0.0.0.0', '127.0.0.2'],
  ['::', '127.0.0.2'],
])('A2: a server at %s reports the address at which each connection arrived', async (host, dialled) => {
  const server = listen({ host, port: 0 });
  const connection = firstValueFrom(server);
  const bound = await firstValueFrom(server.listening);
  const port = bound.transport === 'tcp' ? bound.port : 0;
  const client = net.connect(port, dialled);
  client.on('error', () => undefined);
  const { local, remote } = await connection;
  expect(local).toEqual({ transport: 'tcp', host: dialled, port });
  expect(remote).toEqual({ transport: 'tcp', host: client.localAddress, port: client.localPort });
  client.destroy();
  await server.shutdown();
});
