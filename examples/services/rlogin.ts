/**
 * A remote login client (RFC 1282) for the terminal in which the client is started.
 *
 *     npm run example -- rlogin.ts tcp://127.0.0.1:5130 $USER
 *     sudo npm run example -- rlogin.ts tcp://old-machine:513 ann
 *
 * With sudo, the client uses a local port below 1024, as most servers require. If a typed line begins with `~.`, the
 * session ends. If the standard input is not a terminal, the client sends the standard input to the server:
 * `printf 'date\nexit\n' | npm run -s example -- rlogin.ts …`. This input has to make the server end the session, as
 * `exit` does. If the client ended the session, it would lose output that the server has not sent yet. Nothing is
 * encrypted, not even a typed password.
 */
import { execFileSync } from 'node:child_process';
import { constants, userInfo } from 'node:os';
import {
  filter,
  firstValueFrom,
  fromEvent,
  lastValueFrom,
  map,
  NEVER,
  type Observable,
  of,
  startWith,
  switchMap,
  timeout,
} from 'rxjs';
import { concatMapPaced, connect, type Connection, formatAddress, parseAddress, SocketError } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { program, UsageError } from './program.js';
import { accepted, fields, sizeWanted, windowSize } from './rlogin/protocol.js';
import { watchUrgent } from './rlogin/urgent.js';

const { stdin, stdout } = process;
const handshakeTime = 15_000; // ms

await program('ADDRESS USER', [2, 2], async (address, user) => {
  if (!/^[\x21-\x7e]{1,32}$/.test(user)) throw new UsageError('USER is not a user name');
  const connection = await dial(address);
  let restore = (): void => undefined;
  try {
    const urgent = await watchUrgent(connection);
    await logIn(connection, user);
    restore = makeRaw();
    await session(connection, urgent);
  } finally {
    restore();
    stdin.destroy();
    connection.destroy();
  }
});

// #region dial
/**
 * Dials from a local port below 1024 if this user may use such a port. Only root may use a port below 1024, so many
 * servers trust a client with such a port.
 */
async function dial(address: string): Promise<Connection> {
  const isTcp = parseAddress(address).transport === 'tcp';
  for (let localPort = 1023; isTcp && localPort >= 512; localPort--) {
    try {
      return await connect(address, { localPort }).open();
    } catch (error) {
      const code = error instanceof SocketError ? error.code : undefined;
      if (code === 'EACCES') break; // this user may use no port below 1024
      if (code !== 'EADDRINUSE' && code !== 'EADDRNOTAVAIL') throw error;
    }
  }
  return await connect(address).open();
}
// #endregion

// #region login
async function logIn({ bytes, local, remote }: Connection, user: string): Promise<void> {
  const sent = bytes.framed(fields);
  const terminal = `${process.env['TERM'] ?? 'dumb'}/38400`; // servers expect a speed, but a window has no speed
  for (const field of ['', userInfo().username, user, terminal]) sent.next(field);
  try {
    const [answer] = await firstValueFrom(bytes.body(1).pipe(timeout({ first: handshakeTime })));
    if (answer === accepted) return;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const isOrdinary = local.transport === 'tcp' && local.port >= 1024;
    const advice = isOrdinary ? '. It may accept privileged ports only, those under 1024: try as root' : '';
    throw new Error(`${formatAddress(remote)} has not begun a session: ${reason}${advice}`, { cause: error });
  }
  const refusal = bytes.framed(lines({ maxLength: 1_000, encoding: 'latin1' })).pipe(timeout({ first: handshakeTime }));
  const reason = await firstValueFrom(refusal, { defaultValue: 'it does not say why' });
  throw new Error(`${formatAddress(remote)} has refused: ${reason.replace(/[^\x20-\x7e]/g, '')}`);
}
// #endregion

// #region session
async function session(connection: Connection, urgent: Observable<number> | undefined): Promise<void> {
  const { bytes } = connection;
  const sizes = sizesFor(connection, urgent).subscribe((message) => bytes.next(message));
  const typing = bytes.sendFrom(stdin.isTTY ? keys() : (stdin as AsyncIterable<Buffer>)).subscribe({
    complete: () => {
      // If the input is not a terminal, the server may still be running commands when the input ends.
      if (stdin.isTTY) void connection.close();
    },
    error: () => undefined, // the output fails with the same error
  });
  stdout.on('error', () => undefined); // `print` rejects with the same error
  try {
    await lastValueFrom(bytes.pipe(map(withoutWish), concatMapPaced(print)), { defaultValue: undefined });
  } finally {
    sizes.unsubscribe();
    typing.unsubscribe();
  }
}

/**
 * If the first chunk begins with the byte that asks for the window size, drops this byte. Some servers send this byte
 * two times, each time as urgent data. The kernel keeps only one urgent byte, so the first of these two bytes becomes
 * an ordinary byte. No text begins with this byte.
 */
function withoutWish(chunk: Buffer, index: number): Buffer {
  return index === 0 && chunk[0] === sizeWanted ? chunk.subarray(1) : chunk;
}

function print(chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    stdout.write(chunk, (error) => (error ? reject(error) : resolve()));
  });
}
// #endregion

// #region sizes
/**
 * Emits the messages with the window size: one message when the server asks for the size, and one message for each
 * later change of the size.
 */
function sizesFor({ remote }: Connection, urgent: Observable<number> | undefined): Observable<Buffer> {
  if (!stdout.isTTY) return NEVER;
  // A unix socket has no urgent data, so the server cannot ask for the size. The server accepts a size that it has not
  // asked for, so the client sends the size at the beginning.
  const wishes = urgent ?? (remote.transport === 'unix' ? of(sizeWanted) : NEVER);
  return wishes.pipe(
    filter((byte) => byte === sizeWanted),
    switchMap(() => fromEvent(stdout, 'resize').pipe(startWith(undefined))),
    map(() => windowSize(stdout)),
  );
}
// #endregion

// #region keys
/**
 * Yields the typed input until the terminal is closed, or until a line begins with `~.`. If a line begins with `~~`,
 * yields the line with one `~`.
 */
async function* keys(): AsyncGenerator<Buffer> {
  let place: 'beginning' | 'tilde' | 'line' = 'beginning';
  for await (const chunk of stdin as AsyncIterable<Buffer>) {
    const send: number[] = [];
    for (const key of chunk) {
      if (place === 'beginning' && key === 0x7e) {
        place = 'tilde';
        continue;
      }
      if (place === 'tilde') {
        if (key === 0x2e) return;
        if (key !== 0x7e) send.push(0x7e);
      }
      send.push(key);
      place = key === 0x0d || key === 0x0a ? 'beginning' : 'line';
    }
    if (send.length > 0) yield Buffer.from(send);
  }
}
// #endregion

// #region raw
/**
 * Makes the terminal pass every key to this program, including Ctrl-C, and show output unchanged. If this function used
 * Node's `setRawMode`, the terminal would still turn each LF of the output into CR LF, which breaks full-screen
 * programs.
 *
 * @returns a function that restores the terminal. The returned function also runs if an exception or a signal ends the
 * process
 */
function makeRaw(): () => void {
  if (!stdin.isTTY) return () => undefined;
  const before = stty('-g');
  const restore = (): void => void stty(before);
  process.once('exit', restore);
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM'] as const) {
    process.once(signal, () => process.exit(128 + constants.signals[signal]));
  }
  stty('raw', '-echo');
  return restore;
}

function stty(...args: string[]): string {
  return execFileSync('stty', args, { stdio: ['inherit', 'pipe', 'pipe'], encoding: 'latin1' }).trim();
}
// #endregion
