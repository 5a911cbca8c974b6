/** Effect's socket server: what has been received is pulled, and what one pull gave is answered with one write. */
import * as NodeSocketServer from '@effect/platform-node/NodeSocketServer';
import * as Effect from 'effect/Effect';
import * as Socket from 'effect/socket/Socket';
import { announce, place, task, transform } from './command-line.js';

const { kind, path } = task();
/** @type {Set<Socket.Writer>} */
const members = new Set();

/** @param {Socket.Socket} socket */
const bytes = (socket) =>
  Effect.gen(function* () {
    const pull = yield* Socket.readerBytes(socket);
    const { writeAll } = yield* socket.writer;
    while (true) yield* writeAll(yield* pull);
  });

/** @param {Socket.Socket} socket */
const sink = (socket) =>
  Effect.gen(function* () {
    const pull = yield* Socket.readerBytes(socket);
    const { write } = yield* socket.writer;
    let received = 0;
    const count = Effect.gen(function* () {
      while (true) for (const chunk of yield* pull) received += chunk.length;
    });
    yield* Effect.ignore(count);
    yield* write(String(received));
  });

/**
 * @param {Socket.Socket} socket
 * @param {(socket: Socket.Writer, lines: readonly string[]) => Effect.Effect<unknown, Socket.SocketError>} serve
 */
const eachLines = (socket, serve) =>
  Effect.gen(function* () {
    const pull = yield* Socket.readerString(socket);
    const writer = yield* socket.writer;
    members.add(writer);
    yield* Effect.addFinalizer(() => Effect.sync(() => members.delete(writer)));
    let rest = '';
    while (true) {
      const lines = (rest + (yield* pull).join('')).split('\n');
      rest = lines.pop() ?? '';
      if (lines.length > 0) yield* serve(writer, lines);
    }
  });

/** @param {readonly string[]} lines */
const joined = (lines) => lines.map((line) => `${transform(line)}\n`).join('');

/** @param {Socket.Socket} socket */
const serve = (socket) => {
  switch (kind) {
    case 'lines':
      return eachLines(socket, ({ write }, lines) => write(joined(lines)));
    case 'fanout':
    case 'channels':
      return eachLines(socket, (_writer, lines) => {
        const text = joined(lines);
        return Effect.forEach(members, ({ write }) => write(text), { discard: true });
      });
    case 'sink':
      return sink(socket);
    default:
      return bytes(socket);
  }
};

const program = Effect.gen(function* () {
  const server = yield* NodeSocketServer.make({ ...place(path), allowHalfOpen: kind === 'sink' });
  announce(path, 'port' in server.address ? server.address.port : 0);
  // A client that has gone costs its connection, and nothing else.
  yield* server.run((socket) => Effect.ignore(Effect.scoped(serve(socket))));
});

await Effect.runPromise(Effect.scoped(program));
