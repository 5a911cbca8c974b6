/** A server with this library, as the library is published. */
import { map } from 'rxjs';
import { Broadcast, listen, requests, serve } from 'rxjs-sockets';
import { jsonLines, lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { announce, keepAsking, task, transform } from './command-line.js';

/** @typedef {import('rxjs-sockets').Codec<{ TEXT: string }>} JsonCodec */

const { kind, path } = task();
const address = path === undefined ? { port: 0 } : { path };

switch (kind) {
  case 'echo':
  case 'idle':
    start(listen(address, options()), ({ data }) => void data.subscribe(data));
    break;
  case 'lines':
    start(
      listen(address, { ...options(), codec: lines() }),
      ({ data }) => void data.pipe(map(transform)).subscribe(data),
    );
    break;
  case 'serve': {
    const server = listen(address, { ...options(), codec: lines() });
    server.listening.subscribe(announceBound);
    server.pipe(serve(({ data }) => data.pipe(map(transform)))).subscribe();
    break;
  }
  case 'json':
    start(
      listen(address, { ...options(), codec: /** @type {JsonCodec} */ (jsonLines()) }),
      ({ data }) => void data.pipe(map(({ TEXT }) => ({ TEXT: TEXT.toUpperCase() }))).subscribe(data),
    );
    break;
  case 'requests':
    start(listen(address, { ...options(), codec: lines() }), ({ data }) => {
      const calls = requests(data);
      keepAsking((line) => calls.ask(line));
    });
    break;
  case 'frames':
    start(
      listen(address, { ...options(), codec: lengthPrefixed({ maxLength: 2 ** 24 }) }),
      ({ data }) => void data.pipe(map((message) => message)).subscribe(data),
    );
    break;
  case 'sink':
    start(listen(address, options()), ({ data }) => {
      let received = 0;
      data.subscribe({
        next: (chunk) => {
          received += chunk.length;
        },
        complete: () => {
          data.next(String(received));
          data.complete();
        },
        error: gone,
      });
    });
    break;
  case 'fanout': {
    const all = new Broadcast(lines());
    start(listen(address, { ...options(), codec: lines() }), (connection) => {
      all.join(connection);
      connection.data.subscribe({ next: (line) => all.next(line), error: gone });
    });
    break;
  }
  case 'channels': {
    const server = listen(address, { ...options(), codec: lines() });
    start(server, ({ data }) => {
      data.subscribe({
        next: (line) => {
          for (const member of server.connections) member.data.next(line);
        },
        error: gone,
      });
    });
    break;
  }
  default: {
    // The kinds `maps0` to `maps10` are like the kind `lines`, but with as many `map`s as the number in the kind says.
    const maps = Array.from({ length: Number(kind.slice('maps'.length)) }, () => map(transform));
    /** @type {import('rxjs').MonoTypeOperatorFunction<string>} */
    const through = (source) => maps.reduce((piped, each) => piped.pipe(each), source);
    start(listen(address, { ...options(), codec: lines() }), ({ data }) => void data.pipe(through).subscribe(data));
  }
}

function options() {
  return { maxConnections: 20_000 };
}

function gone() {
  // If a client fails, only the connection of that client ends.
}

/**
 * @template In, Out
 * @param {import('rxjs-sockets').Server<In, Out>} server
 * @param {(connection: import('rxjs-sockets').Connection<In, Out>) => void} onConnection
 */
function start(server, onConnection) {
  server.listening.subscribe(announceBound);
  server.subscribe(onConnection);
}

/** @param {import('rxjs-sockets').Address} bound */
function announceBound(bound) {
  announce(path, bound.transport === 'tcp' ? bound.port : 0);
}
