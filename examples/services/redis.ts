/**
 * Sends one command to a Redis server, and prints the reply as a line of JSON. The program uses ioredis over a socket
 * of this library.
 *
 *     npm run -s example -- redis.ts tcp://localhost:6379 SET greeting hello EX 60
 *     npm run -s example -- redis.ts unix:/run/redis/redis-server.sock GET greeting
 *
 * The environment variable REDISCLI_AUTH is the password, as for redis-cli. Text is printed as a string, and other data
 * is printed as `{ "base64": … }`. An integer that is too large for a JavaScript number is printed as a string.
 */
import { isUtf8 } from 'node:buffer';
import { Redis } from 'ioredis';
import { SocketError } from 'rxjs-sockets';
import { program } from './program.js';
import { connectorTo } from './redis/connector.js';

await program('ADDRESS COMMAND [ARG...]', [2, Infinity], async (address = '', command = '', ...words) => {
  let failure: unknown;
  // #region ask
  const redis = new Redis({
    Connector: connectorTo(address, { receiveTimeout: 60_000 }),
    password: process.env['REDISCLI_AUTH'] ?? '',
    retryStrategy: null, // ioredis gives up after one attempt to connect
    enableReadyCheck: false,
    stringNumbers: true,
    protocol: 2,
  });
  redis.on('error', (error) => (failure ??= error));
  try {
    const reply = await redis.callBuffer(command.toLowerCase(), words);
    console.log(JSON.stringify(plain(reply)));
  } catch (error) {
    throw explained(failure ?? error); // `error` may say only that the connection is closed; `failure` says why
  } finally {
    redis.disconnect();
  }
  // #endregion
});

function explained(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  if (/^(NOAUTH|WRONGPASS)/.test(error.message))
    return new Error(`${error.message} Set REDISCLI_AUTH to the password.`);
  if (error.message === 'Connection is closed.')
    return new Error('The server closed the connection before it answered; see its log, and try again.');
  if (error.message.startsWith('Unknown RESP type'))
    return new Error('This is not a Redis server; give the address of one.', { cause: error });
  if (!(error instanceof SocketError) || error.code === 'ERR_ADDRESS_INVALID') return error;
  return new Error(`${error.message}; start a Redis server there, or give the address of one`, { cause: error });
}

/**
 * Converts a reply to a value for JSON. Redis strings arrive as Buffers, so a JavaScript string in a reply is always an
 * integer.
 */
function plain(reply: unknown): unknown {
  if (Buffer.isBuffer(reply)) return isUtf8(reply) ? reply.toString() : { base64: reply.toString('base64') };
  if (typeof reply === 'string') return Number.isSafeInteger(Number(reply)) ? Number(reply) : reply;
  if (Array.isArray(reply)) return reply.map(plain);
  if (reply instanceof Error) return { error: reply.message };
  return reply;
}
