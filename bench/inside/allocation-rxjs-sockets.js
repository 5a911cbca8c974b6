/** Does each kind of work with this library. */
import { map } from 'rxjs';
import { Broadcast, listen } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';

/**
 * @param {string} kind
 * @param {string | undefined} path
 * @param {(port: number) => void} listening
 */
export function serve(kind, path, listening) {
  const address = path === undefined ? { port: 0 } : { path };
  // With the default limits, a slow peer could overflow its connection, and that would end the count.
  const options = { maxBuffered: 2 ** 30, maxConnections: 20_000 };
  const text = () => listen(address, { ...options, codec: lines() });
  switch (kind) {
    case 'receive':
      start(text(), ({ data }) => void data.subscribe((line) => line === 'end' && data.next('ok')), listening);
      break;
    case 'send':
      start(
        listen(address, options),
        ({ bytes }) => {
          const answers = bytes.framed(lines());
          bytes.subscribe((chunk) => {
            for (let i = 0; i < chunk.length * 1_000; i++) answers.next(answer);
          });
        },
        listening,
      );
      break;
    case 'lines':
      start(text(), ({ data }) => void data.pipe(map(same)).subscribe(data), listening);
      break;
    case 'broadcast': {
      const all = new Broadcast(lines());
      const serveOne = (/** @type {import('rxjs-sockets').Connection<string, string>} */ connection) => {
        all.join(connection);
        connection.data.subscribe((line) => all.next(line));
      };
      start(text(), serveOne, listening);
      break;
    }
    default:
      start(listen(address, options), ({ data }) => void data.subscribe(data), listening);
  }
}

const answer = 'x'.repeat(63);

/** @param {string} line */
function same(line) {
  return line;
}

/**
 * @template In, Out
 * @param {import('rxjs-sockets').Server<In, Out>} server
 * @param {(connection: import('rxjs-sockets').Connection<In, Out>) => void} serveOne
 * @param {(port: number) => void} listening
 */
function start(server, serveOne, listening) {
  server.listening.subscribe((bound) => listening(bound.transport === 'tcp' ? bound.port : 0));
  server.subscribe(serveOne);
}
