import '../../support/leaks.js';
import { createServer, get, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { type SocketStream, toNodeStream } from 'rxjs-sockets/interop';
import { expect, it } from 'vitest';
import { network, pair } from '../../support/transport/memory/memory-network.js';
import { recordingConsole } from '../../support/recording/recording-console.js';

it('the example of node:http serves a request', async () => {
  const { listen, connect } = network();
  const web = createServer((request, response) => response.end(`you want ${request.url}\n`));
  // Without it, node:http sends no more responses once the client, or a shutdown, has ended the requests.
  Object.assign(web, { httpAllowHalfOpen: true });
  // Starts Node's timeouts for slow requests, which begin when a server listens itself.
  web.emit('listening');
  listen('unix:/run/web.sock').subscribe((connection) => web.emit('connection', toNodeStream(connection)));
  const client = toNodeStream(connect('unix:/run/web.sock'));
  const asking = get({ path: '/this', createConnection: () => client });
  const [response] = (await once(asking, 'response')) as [IncomingMessage];
  expect((await response.toArray()).join('')).toBe('you want /this\n');
  if (!client.destroyed) await once(client, 'close');
});

it('the example of SocketStream shows its addresses', async () => {
  const { connection } = await pair();
  const console = recordingConsole();
  const stream: SocketStream = toNodeStream(connection);
  console.log(stream.remoteAddress, stream.remotePort);
  expect(console.written).toEqual([undefined, undefined]);
  stream.destroy();
  await once(stream, 'close');
});
