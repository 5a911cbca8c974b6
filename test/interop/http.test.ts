import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import { Readable } from 'node:stream';
import tls from 'node:tls';
import { firstValueFrom } from 'rxjs';
import { type Address, connect, listen, serve, type Server } from 'rxjs-sockets';
import { toNodeStream } from 'rxjs-sockets/interop';
import { describe, expect, it, onTestFinished } from 'vitest';
import { authority, server as identity } from '../support/transport/node/tls/certificates.js';
import '../support/leaks.js';
import { allPlaces, memory, type Place, realPlaces, securePlaces, tcp } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { rawClient, rawServer } from '../support/sockets/plain-sockets.js';
import { endingOf, readAll } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { until } from '../support/scheduling/event-loop.js';

async function served(
  place: Place,
  handler: http.RequestListener,
): Promise<{ server: Server; address: Address; web: http.Server }> {
  const web = Object.assign(http.createServer(handler), { httpAllowHalfOpen: true });
  const { server, address } = await serverAt(place, (connection) => web.emit('connection', toNodeStream(connection)));
  return { server, address, web };
}

interface Answer {
  readonly status: number | undefined;
  readonly body: string;
}

async function request(
  place: Place,
  address: Address,
  path: string,
  body?: string | Readable,
  agent?: http.Agent,
): Promise<Answer> {
  const options =
    agent === undefined ? { createConnection: () => toNodeStream(connect(address, place.options)) } : { agent };
  const asking = http.request({ host: 'localhost', path, method: body === undefined ? 'GET' : 'POST', ...options });
  if (body instanceof Readable) body.pipe(asking);
  else asking.end(body);
  const [response] = (await once(asking, 'response')) as [http.IncomingMessage];
  response.setEncoding('utf8');
  let text = '';
  for await (const chunk of response) text += chunk as string;
  return { status: response.statusCode, body: text };
}

const echo: http.RequestListener = (asked, response) => {
  response.setHeader('x-path', asked.url ?? '');
  asked.pipe(response);
};

describe.each(allPlaces)('node:http over $name', (place) => {
  it('I2: serves requests and sends requests', async () => {
    const { address, server } = await served(place, echo);
    expect(await request(place, address, '/a', 'hello')).toEqual({ status: 200, body: 'hello' });
    const large = 'x'.repeat(3_000_000);
    const answer = await request(place, address, '/b', Readable.from([large, large]));
    expect(answer.body.length).toBe(6_000_000);
    await until(() => server.connections.size === 0);
  });

  it('S6: serve reports how connections ended; unsubscribing from serve closes the remaining connections', async () => {
    const web = http.createServer(echo);
    const server = listen(await place.address(), place.options);
    const bound = firstValueFrom(server.listening);
    const ended = record(
      server.pipe(
        serve((connection) => {
          web.emit('connection', toNodeStream(connection));
        }),
      ),
    );
    const address = await bound;
    expect((await request(place, address, '/a', 'hello')).body).toBe('hello');
    expect((await ended.count(1))[0]?.reason).toBe('finished');
    const idle = toNodeStream(connect(address, { ...place.options, halfOpen: false }));
    await once(idle, 'connect');
    await until(() => server.connections.size === 1);
    ended.subscription.unsubscribe();
    await once(idle.resume(), 'close');
    await until(() => server.connections.size === 0);
  });

  it('I2: serves one request after another on one connection of an agent', async () => {
    const { address, server } = await served(place, echo);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 2 });
    agent.createConnection = () => toNodeStream(connect(address, { ...place.options, halfOpen: false }));
    onTestFinished(() => agent.destroy());
    const paths = Array.from({ length: 20 }, (_, index) => `/${index}`);
    const answers = await Promise.all(paths.map((path) => request(place, address, path, path, agent)));
    expect(answers.map(({ body }) => body)).toEqual(paths);
    expect(server.connections.size).toBeLessThanOrEqual(2);
    agent.destroy();
    await until(() => server.connections.size === 0);
  });

  it('S7: a shutdown waits for the response in progress, but not for idle connections', async () => {
    const responses: http.ServerResponse[] = [];
    const { address, server } = await served(place, (_, response) => {
      response.write('first ');
      responses.push(response);
    });
    const agent = new http.Agent({ keepAlive: true });
    // Once the server has ended its side, an agent expects the connection to end the other side by itself.
    agent.createConnection = () => toNodeStream(connect(address, { ...place.options, halfOpen: false }));
    onTestFinished(() => agent.destroy());
    const early = request(place, address, '/', undefined, agent);
    await until(() => responses.length === 1);
    responses[0]!.end('last');
    expect((await early).body).toBe('first last');
    const late = request(place, address, '/');
    await until(() => responses.length === 2);
    const shutdown = server.shutdown({ deadline: 20_000 });
    await until(() => server.connections.size === 1);
    responses[1]!.end('last');
    expect((await late).body).toBe('first last');
    await shutdown;
  });
});

describe.each(realPlaces)('node:http for plain clients over $name', (place) => {
  it('I2: answers a thousand pipelined requests of a client that has finished sending', async () => {
    const { address } = await served(place, (asked, response) => response.end(asked.url));
    const raw = await rawClient(address);
    const paths = Array.from({ length: 1_000 }, (_, index) => `/${index}`);
    raw.end(paths.map((path) => `GET ${path} HTTP/1.1\r\nhost: here\r\n\r\n`).join(''));
    const text = (await readAll(raw)).toString();
    expect(text.match(/HTTP\/1\.1 200 OK/g)?.length).toBe(1_000);
    expect(Array.from(text.matchAll(/\r\n\r\n(\/\d+)/g), ([, path]) => path)).toEqual(paths);
  });

  it('I3: answers an invalid request with 400, then ends the connection', async () => {
    const { address, server } = await served(place, echo);
    const raw = await rawClient(address);
    raw.write('this is no HTTP\r\n\r\n' + 'and a lot of it'.repeat(20_000));
    expect((await readAll(raw)).toString()).toBe('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
    raw.end();
    await until(() => server.connections.size === 0);
  });

  it('I2: if a client disconnects in the middle of a response, ends the response and the connection', async () => {
    let ended: (hadError: unknown) => void = () => undefined;
    const end = new Promise((resolve) => {
      ended = resolve;
    });
    const { address, server } = await served(place, (_, response) => {
      const source = Readable.from(
        (function* () {
          for (;;) yield Buffer.alloc(65_536);
        })(),
      );
      source.pipe(response);
      response.on('close', () => {
        source.destroy();
        ended(response.writableFinished);
      });
    });
    const raw = await rawClient(address);
    raw.write('GET / HTTP/1.1\r\nhost: here\r\n\r\n');
    await once(raw, 'data');
    raw.destroy();
    expect(await end).toBe(false);
    await until(() => server.connections.size === 0);
  });

  it("I2: on an upgrade request, hands the stream over to the 'upgrade' listener", async () => {
    const { address, web } = await served(place, echo);
    web.on('upgrade', (_, stream: net.Socket, head: Buffer) => {
      stream.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n');
      stream.write(head);
      stream.pipe(stream);
    });
    const raw = await rawClient(address);
    raw.write('GET / HTTP/1.1\r\nhost: here\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\nmore ');
    await once(raw, 'data');
    raw.end('and more');
    expect((await readAll(raw)).toString()).toContain('and more');
  });

  it("I2: answers incomplete headers with 408, once the server has emitted 'listening'", async () => {
    const web = http.createServer({ headersTimeout: 50, requestTimeout: 50, connectionsCheckingInterval: 10 }, echo);
    Object.assign(web, { httpAllowHalfOpen: true }).emit('listening');
    onTestFinished(() => void web.close());
    const { address } = await serverAt(place, (connection) => web.emit('connection', toNodeStream(connection)));
    const raw = await rawClient(address);
    raw.write('GET / HT');
    expect((await readAll(raw)).toString()).toMatch(/^HTTP\/1\.1 408 /);
    raw.end();
  });

  it('I2: lets an agent drop an idle connection that the server has ended', async () => {
    const address = await rawServer(place, (socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
        setImmediate(() => socket.end());
      });
    });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    agent.createConnection = () => toNodeStream(connect(address, { halfOpen: false }));
    onTestFinished(() => agent.destroy());
    for (let count = 0; count < 3; count++) {
      expect((await request(place, address, '/', undefined, agent)).body).toBe('ok');
      await until(() => Object.keys(agent.freeSockets).length === 0);
    }
  });

  it("I2: ends idle connections on close(), once the server has emitted 'listening'", async () => {
    const { address, web, server } = await served(place, echo);
    web.emit('listening');
    const raw = await rawClient(address);
    raw.write('GET / HTTP/1.1\r\nhost: here\r\n\r\n');
    await once(raw, 'data');
    web.close();
    expect(await endingOf(raw)).toBe('fin');
    raw.end();
    await until(() => server.connections.size === 0);
  });
});

describe('node:https', () => {
  it.each(securePlaces)("I2: works over the library's TLS, $name", async (place) => {
    const web = https.createServer(identity, (asked, response) => {
      response.end(String('encrypted' in asked.socket));
    });
    const { address, server } = await serverAt(place, (connection) =>
      web.emit('secureConnection', toNodeStream(connection)),
    );
    const asking = https.get({
      host: 'localhost',
      path: '/',
      createConnection: () => toNodeStream(connect(address, place.options)),
    });
    const [response] = (await once(asking, 'response')) as [http.IncomingMessage];
    expect((await response.toArray()).join('')).toBe('true');
    await until(() => server.connections.size === 0);
  });

  it("I2: works with Node's TLS on top of a stream, on either side", async () => {
    const secured = https.createServer(identity, (asked, response) => response.end(asked.url));
    const { address, server } = await serverAt(tcp, (connection) =>
      secured.emit('connection', toNodeStream(connection)),
    );
    const asking = https.get({
      host: 'localhost',
      path: '/on-top',
      createConnection: () =>
        tls.connect({ socket: toNodeStream(connect(address)), ca: authority, servername: 'localhost' }),
    });
    const [response] = (await once(asking, 'response')) as [http.IncomingMessage];
    expect((await response.toArray()).join('')).toBe('/on-top');
    await until(() => server.connections.size === 0);
  });

  it.each([...realPlaces, memory()])("I2: works with Node's TLSSockets over streams, $name", async (place) => {
    const sockets: tls.TLSSocket[] = [];
    const { address } = await serverAt(place, (connection) => {
      const stream = toNodeStream(connection) as unknown as net.Socket;
      const socket = new tls.TLSSocket(stream, { isServer: true, ...identity });
      sockets.push(socket);
      socket.pipe(socket);
    });
    const socket = tls.connect({
      socket: toNodeStream(connect(address, place.options)),
      ca: authority,
      servername: 'localhost',
    });
    await once(socket, 'secureConnect');
    expect(socket.authorized).toBe(true);
    const body = Buffer.alloc(1_000_000, 'tls');
    socket.end(body);
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).equals(body)).toBe(true);
    await until(() => sockets[0]!.destroyed);
  });
});

describe.each(allPlaces)('node:http2 over $name', (place) => {
  it('I2: serves many streams over one connection', async () => {
    const echoed = (asked: http2.Http2ServerRequest, response: http2.Http2ServerResponse): void => {
      response.write(asked.url);
      asked.pipe(response);
    };
    const secure = place.options.tls !== undefined;
    // With TLS, both sides have to agree on HTTP/2 in the handshake.
    const options = secure ? { tls: { ...place.options.tls, ALPNProtocols: ['h2'] } } : place.options;
    const web = secure ? http2.createSecureServer(identity, echoed) : http2.createServer(echoed);
    const { address, server } = await serverAt(
      place,
      (connection) => web.emit(secure ? 'secureConnection' : 'connection', toNodeStream(connection)),
      options,
    );
    const session = http2.connect(secure ? 'https://localhost' : 'http://localhost', {
      createConnection: () => toNodeStream(connect(address, options)),
    });
    const answers = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const stream = session.request({ ':path': `/${index}:`, ':method': 'POST' });
        stream.end('b'.repeat(100_000));
        return (await stream.toArray()).join('');
      }),
    );
    expect(answers).toEqual(Array.from({ length: 20 }, (_, index) => `/${index}:${'b'.repeat(100_000)}`));
    session.close();
    await once(session, 'close');
    await until(() => server.connections.size === 0);
  });
});
