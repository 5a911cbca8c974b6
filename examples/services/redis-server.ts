/**
 * A small Redis server: keys with values in memory, and channels for messages. The server works with redis-cli,
 * redis-benchmark and Redis drivers.
 *
 *     npm run example -- redis-server.ts tcp://localhost:6379
 *     redis-cli SET greeting hello EX 60
 *
 * A server for your own protocol has the same parts: a codec (redis-server/resp.ts, requests.ts), an action for each
 * message (redis-server/commands.ts), and lines, as in this file, that connect the codec with the actions.
 */
import { catchError, finalize, takeWhile } from 'rxjs';
import { concatMapPaced, type Connection, type Flow, listen, serve, SocketError } from 'rxjs-sockets';
import { program, serveUntilStopped } from './program.js';
import { answer } from './redis-server/answer.js';
import { Client, type Service } from './redis-server/client.js';
import { Database } from './redis-server/database.js';
import { type Request, requests } from './redis-server/requests.js';
import { ErrorReply, type Value } from './redis-server/resp.js';
import { Topics } from './redis-server/topics.js';

const mebibyte = 1_048_576;

// #region limits
const codec = requests({ maxLength: 16 * mebibyte, maxValues: 65_536 });
const options = {
  codec,
  maxConnections: 1_000,
  maxBuffered: 8 * mebibyte, // if more bytes are queued for a subscriber, the server disconnects that subscriber
  idleTimeout: 3_600_000,
};
const maxMemory = 256 * mebibyte;
// #endregion

await program('ADDRESS', [1, 1], async (address) => {
  const server = listen<Request, Value>(address, options);
  const service: Service = {
    database: new Database(maxMemory),
    topics: new Topics(codec),
    started: performance.now(),
    clients: () => server.connections.size,
    answered: 0,
  };
  const sweeping = setInterval(() => service.database.sweep(10_000), 100);
  const served = server.pipe(serve((connection) => answers(service, connection)));
  await serveUntilStopped(server, served).finally(() => clearInterval(sweeping));
});

// #region answers
/**
 * Answers the requests of a connection in order. While a client does not read its answers, the Flow is held, and the
 * client's further requests wait.
 */
function answers(service: Service, connection: Connection<Request, Value>): Flow<Value> {
  const client = new Client(service, connection);
  return connection.data.pipe(
    takeWhile(([name]) => name?.toString('latin1').toLowerCase() !== 'quit', true), // the last request
    concatMapPaced((request) => answer(client, request)),
    catchError(refusal),
    finalize(() => client.reset()),
  );
}

/** After a bad request, the server cannot tell where the next one begins. It sends an error and ends the connection. */
function refusal(error: unknown): Value[] {
  if (error instanceof SocketError && /^ERR_FRAME_(INVALID|TOO_LONG)$/.test(error.code)) {
    return [new ErrorReply(`ERR Protocol error: ${error.message}`)];
  }
  throw error;
}
// #endregion
