/**
 * Effect's socket server, as the documentation of Effect shows it: a Stream of lines, and one write for each line.
 *
 * The documentation imports the server from `@effect/platform-node`. That package only re-exports the server from
 * `@effect/platform-node-shared`, but also depends on a version of undici that refuses Node 20.
 */
import * as NodeSocketServer from '@effect/platform-node-shared/NodeSocketServer';
import * as Effect from 'effect/Effect';
import * as Stream from 'effect/Stream';
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
 * @param {(writer: Socket.Writer, line: string) => Effect.Effect<void, Socket.SocketError>} answer
 */
const eachLine = (socket, answer) =>
  Effect.gen(function* () {
    const writer = yield* socket.writer;
    members.add(writer);
    yield* Effect.addFinalizer(() => Effect.sync(() => members.delete(writer)));
    yield* Stream.never.pipe(
      Stream.pipeThroughChannel(Socket.toChannelString(socket)),
      Stream.splitLines,
      Stream.map(transform),
      Stream.runForEach((line) => answer(writer, line)),
    );
  });

/** @param {Socket.Socket} socket */
const serve = (socket) => {
  switch (kind) {
    case 'lines':
      return eachLine(socket, ({ write }, line) => write(`${line}\n`));
    case 'fanout':
    case 'channels':
      return eachLine(socket, (_writer, line) =>
        Effect.forEach(members, ({ write }) => write(`${line}\n`), { discard: true }),
      );
    case 'sink':
      return sink(socket);
    default:
      return bytes(socket);
  }
};

const program = Effect.gen(function* () {
  const server = yield* NodeSocketServer.make({ ...place(path), allowHalfOpen: kind === 'sink' });
  announce(path, 'port' in server.address ? server.address.port : 0);
  // If a client fails, only the connection of that client ends.
  yield* server.run((socket) => Effect.ignore(Effect.scoped(serve(socket))));
});

await Effect.runPromise(Effect.scoped(program));
