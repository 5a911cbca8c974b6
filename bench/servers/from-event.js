/** A server with the common RxJS wrapper: `fromEvent` over `node:net`. */
import net from 'node:net';
import { concatMap, fromEvent, map, mergeMap, Observable, scan, share, takeUntil } from 'rxjs';
import { announce, place, task, transform } from './command-line.js';

const { kind, path } = task();
const members = /** @type {Set<net.Socket>} */ (new Set());
const server = net.createServer({ allowHalfOpen: kind === 'sink' });

/** @type {Observable<net.Socket>} */
const sockets = new Observable((subscriber) => {
  server.on('connection', (socket) => subscriber.next(socket));
});

/**
 * @param {net.Socket} socket
 * @returns {Observable<Buffer>}
 */
const received = (socket) =>
  /** @type {Observable<Buffer>} */ (fromEvent(socket, 'data')).pipe(takeUntil(fromEvent(socket, 'close')), share());

/**
 * @param {net.Socket} socket
 * @returns {Observable<string>}
 */
const linesOf = (socket) =>
  received(socket).pipe(
    scan(
      ({ rest }, chunk) => {
        const lines = (rest + chunk.toString()).split('\n');
        return { rest: lines.pop() ?? '', lines };
      },
      { rest: '', lines: /** @type {string[]} */ ([]) },
    ),
    concatMap(({ lines }) => lines),
  );

sockets
  .pipe(
    mergeMap((socket) => {
      socket.on('error', () => socket.destroy());
      switch (kind) {
        case 'lines':
          return linesOf(socket).pipe(map((line) => socket.write(`${transform(line)}\n`)));
        case 'sink': {
          let count = 0;
          socket.on('end', () => socket.end(String(count)));
          return received(socket).pipe(map((chunk) => (count += chunk.length)));
        }
        case 'fanout':
        case 'channels':
          members.add(socket);
          socket.on('close', () => members.delete(socket));
          return linesOf(socket).pipe(
            map((line) => {
              for (const member of members) member.write(`${line}\n`);
            }),
          );
        default:
          return received(socket).pipe(map((chunk) => socket.write(chunk)));
      }
    }),
  )
  .subscribe();

server.listen(place(path), () => {
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  announce(path, port);
});
