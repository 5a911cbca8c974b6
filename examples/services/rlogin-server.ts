/**
 * A remote login server (RFC 1282): each client gets a terminal with a shell.
 *
 *     npm run example -- rlogin-server.ts tcp://127.0.0.1:5130
 *     npm run example -- rlogin-server.ts unix:/tmp/rlogin.sock
 *
 * Connect with `npm run example -- rlogin.ts tcp://127.0.0.1:5130 $USER`, or `plink -rlogin -P 5130 $USER@127.0.0.1`.
 *
 * If a client's port is below 1024, RFC 1282 trusts the user name that the client gives. This server does not trust any
 * client because of its port. Every client has to give a password, with one exception. A program on the same machine
 * that runs as the server's own user needs no password to log in as that user (or, if that user is root, as any user):
 * this program could start the same shell without the server. Nothing is encrypted, not even the password.
 */
import { homedir, userInfo } from 'node:os';
import { setImmediate as flushed } from 'node:timers/promises';
import {
  firstValueFrom,
  lastValueFrom,
  of,
  ReplaySubject,
  startWith,
  take,
  timeout,
  TimeoutError,
  toArray,
} from 'rxjs';
import { concatMapPaced, type Connection, formatAddress, listen, serve, SocketError } from 'rxjs-sockets';
import { program, serveUntilStopped } from './program.js';
import { isOwnUser } from './rlogin/peer.js';
import { accepted, fields, keysAndSizes, refused, sizeWanted, type WindowSize } from './rlogin/protocol.js';
import { type Command, Terminal } from './rlogin/terminal.js';
import { sendUrgent } from './rlogin/urgent.js';

const mostSessions = 100;
const mostConnections = 1_000; // more than `mostSessions`, so that silent clients do not keep other clients out
const handshakeTime = 10_000; // ms
const sizeTime = 500; // ms; how long the server waits for the window size
const idleTime = 3_600_000; // ms without input or output
const usualSize: WindowSize = { rows: 24, columns: 80 };

class Refusal extends Error {}

const stopping = new ReplaySubject<void>(1);
let sessions = 0;

await program('ADDRESS', [1, 1], async (address) => {
  const server = listen(address, { maxConnections: mostConnections, idleTimeout: idleTime });
  stopping.subscribe(() => void server.shutdown());
  await serveUntilStopped(server, server.pipe(serve(logIn)), stopping);
});

async function logIn(connection: Connection): Promise<void> {
  const login = await handshake(connection);
  if (login === undefined) return;
  sessions++;
  try {
    await session(connection, login);
  } finally {
    sessions--;
  }
}

// #region session
async function session(connection: Connection, login: Login): Promise<void> {
  const first = await firstMessage(connection);
  const size = first === undefined || Buffer.isBuffer(first) ? usualSize : first;
  const terminal = new Terminal(await command(connection, login), size);

  const typed = connection.bytes.framed(keysAndSizes).pipe(
    startWith(first ?? size),
    concatMapPaced(async (message) => {
      if (Buffer.isBuffer(message)) await terminal.write(message);
      else terminal.resize(message);
    }),
  );
  const hangUp = (): void => void terminal.hangUp();
  // The end of the input means that the client has hung up or is lost.
  const typing = typed.subscribe({ complete: hangUp, error: hangUp });
  typing.add(stopping.subscribe(hangUp)); // while the program takes no input, the end of the input is not seen
  try {
    await lastValueFrom(connection.bytes.sendFrom(terminal.output()), { defaultValue: undefined });
  } finally {
    typing.unsubscribe();
    await terminal.hangUp();
  }
}
// #endregion

// #region handshake
interface Login {
  readonly user: string;
  readonly terminal: string;
}

/**
 * Reads the four fields that a client sends, and accepts valid fields. If a field is invalid, the server refuses the
 * client, and sends the reason.
 */
async function handshake({ bytes }: Connection): Promise<Login | undefined> {
  try {
    const received = bytes.framed(fields).pipe(take(4), toArray(), timeout({ first: handshakeTime }));
    const [empty, localUser, user, terminal] = (await firstValueFrom(received)).map((field) =>
      field.toString('latin1'),
    );
    if (empty !== '' || terminal === undefined) throw new Refusal('this is not rlogin');
    if (!/^[\x21-\x7e]{0,32}$/.test(localUser ?? '')) throw new Refusal('the name of the local user is not valid');
    // The started program would take a user name that begins with '-' for an option.
    if (user === undefined || !/^[a-z_][a-z0-9_.-]{0,31}$/i.test(user))
      throw new Refusal('the name of the user is not valid');
    const type = terminal.replace(/\/\d{0,9}$/, ''); // a pseudo terminal has no speed
    if (!/^([a-z0-9][a-z0-9_.+-]{0,40})?$/i.test(type)) throw new Refusal('the type of the terminal is not valid');
    if (sessions >= mostSessions) throw new Refusal('there are too many sessions');
    bytes.next(Buffer.of(accepted));
    return { user, terminal: type === '' ? 'dumb' : type };
  } catch (error) {
    await bytes.send(`${String.fromCharCode(refused)}rlogin-server: ${reasonOf(error)}\r\n`);
    return undefined;
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof Refusal) return error.message;
  if (error instanceof TimeoutError) return 'the handshake took too long';
  if (error instanceof SocketError && error.code === 'ERR_FRAME_TOO_LONG') return 'this is not rlogin';
  throw error;
}
// #endregion

// #region size
/**
 * Asks the client for its window size, and returns the client's next input, which is usually the answer. The size is
 * known before the program starts, so the program starts with the right size. If the server cannot send urgent data, it
 * cannot ask. Over a unix socket, which has no urgent data, our own client (rlogin.ts) sends its window size without
 * being asked.
 */
async function firstMessage(connection: Connection): Promise<Buffer | WindowSize | undefined> {
  await flushed(); // the urgent byte has to follow the byte that accepts the fields
  await sendUrgent(connection, sizeWanted);
  const messages = connection.bytes.framed(keysAndSizes);
  const first = messages.pipe(timeout({ first: sizeTime, with: () => of(undefined) }));
  return await firstValueFrom(first, { defaultValue: undefined });
}
// #endregion

// #region program
/**
 * Returns the program to start for a client: a shell if the client needs no password, and otherwise a program that asks
 * for the password.
 *
 * That program is `su`, unless the server runs as root. `su` asks root for no password, so a server that runs as root
 * starts `login` instead, which only root can run.
 */
async function command(connection: Connection, { user, terminal }: Login): Promise<Command> {
  const { remote } = connection;
  const { username, shell, uid } = userInfo();
  const isOwn = await isOwnUser(connection);
  const host = remote.transport === 'tcp' ? remote.host : 'localhost';
  const [file, ...args] =
    isOwn && user === username
      ? [shell ?? '/bin/sh', '-l']
      : isOwn || uid !== 0
        ? ['su', '-l', '--', user]
        : ['login', '-h', host, '--', user];
  console.error(`${formatAddress(remote)} wants to be ${user}: ${file}`);
  // The client must not see the other environment variables of the server.
  const { PATH = '/usr/local/bin:/usr/bin:/bin', LANG = 'C.UTF-8' } = process.env;
  const environment = { TERM: terminal, PATH, LANG, HOME: homedir(), USER: username, LOGNAME: username };
  return { file, args, environment, folder: isOwn ? homedir() : '/' };
}
// #endregion
