import '../../support/leaks.js';
import 'reflect-metadata';
import { spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { Agent, createServer, get, type Server } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import { get as getSecurely } from 'node:https';
import { join } from 'node:path';
import { Duplex, pipeline } from 'node:stream';
import { createGzip, gunzipSync } from 'node:zlib';
import { Controller, Get, Logger, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { pino } from 'pino';
import { backoff, connect as dial, relay, serve } from 'rxjs-sockets';
import { lines, text } from 'rxjs-sockets/codecs';
import { fromNodeStream, toNodeStream, toWebStreams } from 'rxjs-sockets/interop';
import { describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { authority as ca, server as identity } from '../../support/transport/node/tls/certificates.js';
import { network, pair } from '../../support/transport/memory/memory-network.js';
import { freshFolder, tcp } from '../../support/transport/places.js';
import { serverAt } from '../../support/connection/connected-pairs.js';
import { record } from '../../support/recording/record.js';

const report = (error: unknown): void => expect.fail(String(error));
const ignore = (): void => undefined;

/** The first value that is passed to `show`. */
function shown(): { show: (value: string) => void; first: Promise<string> } {
  let show: (value: string) => void = () => undefined;
  const first = new Promise<string>((resolve) => (show = resolve));
  return { show, first };
}

describe('the recipe for compression', () => {
  it('compresses a file while it is read, and reports a missing file as an incident', async () => {
    const folder = await freshFolder();
    const source = join(folder, 'source');
    const content = 'a line\n'.repeat(100_000);
    const { listen, connect } = network();
    const incidents: string[] = [];

    const files = listen('tcp://localhost:7000');
    const zipped = serve<Buffer, Buffer>(() => pipeline(createReadStream(source), createGzip(), () => undefined));
    files.pipe(zipped).subscribe({ error: report });

    files.incidents.subscribe(({ code }) => incidents.push(code));
    expect(await record(connect('tcp://localhost:7000').data).end()).not.toBe('complete');
    expect(incidents).toEqual(['ERR_HANDLER']);
    await writeFile(source, content);
    const chunks: Buffer[] = [];
    for await (const chunk of connect('tcp://localhost:7000').data) chunks.push(chunk);
    expect(String(gunzipSync(Buffer.concat(chunks)))).toBe(content);
  });
});

describe('the recipes for foreign streams', () => {
  it('connect a child process and web streams', async () => {
    const { connection: peer, peer: connection } = await pair();
    peer.bytes.next('pear\nfig\n');
    peer.data.complete();

    const child = spawn('sort');
    const sort = fromNodeStream(Duplex.from({ readable: child.stdout, writable: child.stdin }));
    relay(connection.bytes, sort).subscribe({ error: report });

    const text = await new Response(toWebStreams(peer.bytes).readable).text();

    expect(text).toBe('fig\npear\n');
  });
});

describe('the recipes for web servers and clients', () => {
  it('run node:http with ws on it', async () => {
    const { listen, connect } = network();

    const web = createServer((request, response) => response.end(`you want ${request.url}\n`));
    Object.assign(web, { httpAllowHalfOpen: true }); // a client that has finished still gets its responses
    web.emit('listening'); // starts Node's timeouts for slow requests: this server never listens itself
    const server = listen('unix:/tmp/web.sock');
    server
      .pipe(serve((connection) => void web.emit('connection', toNodeStream(connection))))
      .subscribe({ error: report });

    const { show, first } = shown();
    get(
      'http://localhost/news',
      { createConnection: () => toNodeStream(connect('unix:/tmp/web.sock')) },
      (response) => {
        response.setEncoding('utf8').on('data', show);
      },
    );
    expect(await first).toBe('you want /news\n');

    const agent = new Agent({ keepAlive: true });
    agent.createConnection = () => toNodeStream(connect('unix:/tmp/web.sock', { halfOpen: false }));
    const kept = shown();
    get('http://localhost/kept', { agent }, (response) => response.setEncoding('utf8').on('data', kept.show));
    expect(await kept.first).toBe('you want /kept\n');
    agent.destroy();

    const sockets = new WebSocketServer({ server: web });
    sockets.on('connection', (socket) => socket.on('message', (text) => socket.send(text)));

    const socket = new WebSocket('ws://localhost', {
      createConnection: () => toNodeStream(connect('unix:/tmp/web.sock')),
    });
    await new Promise((resolve) => socket.once('open', resolve));
    socket.send('hello');
    expect(String(await new Promise((resolve) => socket.once('message', resolve)))).toBe('hello');
    socket.close();
    await new Promise((resolve) => socket.once('close', resolve));
    sockets.close();
  });

  it('send a request with node:https', async () => {
    const web = createServer((request, response) => response.end(`you want ${request.url}\n`));
    const { address, server } = await serverAt(tcp, (connection) => web.emit('connection', toNodeStream(connection)), {
      tls: identity,
    });
    const connect = (where: string, options: object): ReturnType<typeof dial> => {
      expect(where).toBe('tls://localhost:8443');
      return dial(address, options);
    };
    const { show, first } = shown();

    const createConnection = (): Duplex => toNodeStream(connect('tls://localhost:8443', { tls: { ca } }));
    getSecurely('https://localhost/news', { createConnection }, (response) => {
      response.setEncoding('utf8').on('data', show);
    });

    expect(await first).toBe('you want /news\n');
    await server.shutdown();
  });

  it('run node:http2', async () => {
    const { listen, connect } = network();
    const server = listen('unix:/tmp/h2.sock');

    const web = createHttp2Server((request, response) => response.end(`you want ${request.url}\n`));
    server
      .pipe(serve((connection) => void web.emit('connection', toNodeStream(connection))))
      .subscribe({ error: report });

    const session = connectHttp2('http://localhost', {
      createConnection: () => toNodeStream(connect('unix:/tmp/h2.sock')),
    });

    const stream = session.request({ ':path': '/news' }).setEncoding('utf8');
    expect(await new Promise((resolve) => stream.on('data', resolve))).toBe('you want /news\n');
    session.destroy();
    await new Promise((resolve) => session.once('close', resolve));
  });

  it('run a NestJS application', async () => {
    class NewsController {
      news(): string {
        return 'news of Nest';
      }
    }
    const news = Object.getOwnPropertyDescriptor(NewsController.prototype, 'news')!;
    Get('news')(NewsController.prototype, 'news', news);
    Controller()(NewsController);
    class AppModule {
      readonly name = 'news';
    }
    Module({ controllers: [NewsController] })(AppModule);
    const { listen, connect } = network();
    Logger.overrideLogger(false);

    const app = await NestFactory.create(AppModule);
    await app.init();
    const web = app.getHttpServer() as Server;
    Object.assign(web, { httpAllowHalfOpen: true });
    web.emit('listening');
    const server = listen('unix:/tmp/nest.sock');
    server
      .pipe(serve((connection) => void web.emit('connection', toNodeStream(connection))))
      .subscribe({ error: report });

    const { show, first } = shown();
    get(
      'http://localhost/news',
      { createConnection: () => toNodeStream(connect('unix:/tmp/nest.sock')) },
      (response) => {
        response.setEncoding('utf8').on('data', show);
      },
    );
    expect(await first).toBe('news of Nest');
    await server.shutdown();
    await app.close();
  });
});

describe('the recipe for logs', () => {
  it('sends the log of pino', async () => {
    const { listen, connect } = network();
    const report = ignore; // the test ends with an error

    const collector = connect('unix:/tmp/log.sock', {
      codec: text(),
      reconnect: backoff(),
      overflow: 'drop',
    });
    collector.subscribe({ error: report });
    const log = pino({ name: 'app' }, { write: (line: string) => collector.data.next(line) });
    log.info('started');

    // The server that collects the log starts only after the first line was logged.
    const received = new Promise<string>((resolve, reject) => {
      listen('unix:/tmp/log.sock', { codec: lines() }).subscribe({
        next: ({ data }) => data.subscribe(resolve),
        error: reject,
      });
    });
    expect(JSON.parse(await received)).toMatchObject({ name: 'app', msg: 'started' });
    collector.data.error('the end of the test');
  });
});
