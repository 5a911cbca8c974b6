/**
 * A web server for the files of a folder: Node's HTTP parser, on connections of this library.
 *
 *     npm run example -- web-server.ts tcp://localhost:8080 docs
 *         serves this project's documentation; try: curl -i http://localhost:8080/guide.md
 *     npm run example -- web-server.ts unix:/tmp/web.sock docs
 *         serves the documentation on a unix socket; try: curl -i --unix-socket /tmp/web.sock http://localhost/guide.md
 */
import { createServer } from 'node:http';
import type { Duplex } from 'node:stream';
import { listen, serve } from 'rxjs-sockets';
import { toNodeStream } from 'rxjs-sockets/interop';
import { program, serveUntilStopped, UsageError } from './program.js';
import { answer } from './web/file-handler.js';
import { Folder } from './web/folder.js';
import { RequestQueue } from './web/request-queue.js';

const patience = {
  headersTimeout: 10_000, // for the header of a request
  requestTimeout: 30_000, // for a complete request
  keepAliveTimeout: 5_000, // between two requests
  connectionsCheckingInterval: 1_000, // the time between two checks of these limits
};
const longestStall = 15_000; // ms; a client that stops reading is disconnected 15 to 30 s later
const atOnce = 1_000; // connections; further clients wait in the kernel

await program('ADDRESS FOLDER', [2, 2], async (address, path) => {
  const folder = await Folder.at(path).catch(() => {
    throw new UsageError(`${path} is not a folder that can be read`);
  });
  const queues = new WeakMap<Duplex, RequestQueue>();

  // #region http
  const server = listen(address);
  const http = createServer(patience, (request, response) => {
    queues.get(request.socket)?.add(response, () => answer(folder, request, response));
  });
  http.timeout = longestStall;
  Object.assign(http, { httpAllowHalfOpen: true }); // a client that has sent its last request still gets every answer
  http.emit('listening'); // starts Node's timers: this server never listens itself

  const served = server.pipe(
    serve(
      (connection) => {
        const socket = toNodeStream(connection);
        queues.set(socket, new RequestQueue(connection));
        http.emit('connection', socket);
      },
      { concurrent: atOnce },
    ),
  );
  // #endregion
  await serveUntilStopped(server, served);
});
