/**
 * Effect's socket server, with one write for all the lines of a pull. `effect.js` has the usual way: one write for each
 * line.
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
const serve = (socket) =>
  Effect.gen(function* () {
    const writer = yield* socket.writer;
    members.add(writer);
    yield* Effect.addFinalizer(() => Effect.sync(() => members.delete(writer)));
    yield* Stream.never.pipe(
      Stream.pipeThroughChannel(Socket.toChannelString(socket)),
      Stream.splitLines,
      Stream.map(transform),
      Stream.runForEachArray((lines) => {
        const text = lines.map((line) => `${line}\n`).join('');
        return kind === 'lines'
          ? writer.write(text)
          : Effect.forEach(members, (member) => member.write(text), { discard: true });
      }),
    );
  });

const program = Effect.gen(function* () {
  const server = yield* NodeSocketServer.make(place(path));
  announce(path, 'port' in server.address ? server.address.port : 0);
  // If a client fails, only the connection of that client ends.
  yield* server.run((socket) => Effect.ignore(Effect.scoped(serve(socket))));
});

await Effect.runPromise(Effect.scoped(program));
