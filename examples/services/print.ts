/**
 * Prints a file: a client of the Line Printer Daemon protocol (RFC 1179).
 *
 *     npm run example -- print.ts tcp://printer.example QUEUE report.pdf
 *     npm run example -- print.ts tcp://127.0.0.1:5515 lp README.md
 *
 * The program ends with status 0 if the server has acknowledged the complete job, and otherwise with an error message.
 * A server prints only complete jobs, so you can run the program again after an error message.
 */
import { randomInt } from 'node:crypto';
import type { Stats } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { hostname, userInfo } from 'node:os';
import { basename } from 'node:path';
import { firstValueFrom, lastValueFrom, of, timeout } from 'rxjs';
import { connect, type Connection, parseAddress, SocketError } from 'rxjs-sockets';
import { fixedLength, lines } from 'rxjs-sockets/codecs';
import { program, UsageError } from './program.js';

const defaultPort = 515;
const patience = 60_000; // ms of silence
const longestReason = 1_000; // bytes

type Bytes = Connection['bytes'];

// #region print
async function print(bytes: Bytes, queue: string, file: FileHandle, name: string): Promise<void> {
  const before = await file.stat();
  const { size } = before;
  const host = hostname()
    .replace(/[^\w.-]/g, '-')
    .slice(0, 31);
  const job = `${String(randomInt(1_000)).padStart(3, '0')}${host}`;
  const control = [`H${host}`, `P${user()}`, `J${name}`, `ldfA${job}`, `UdfA${job}`, `N${name}`, ''];
  const controlFile = Buffer.from(control.join('\n'));

  await ask(bytes, `\x02${queue}\n`, `it does not take jobs for ${queue}; check the name of the queue`);
  await ask(bytes, `\x02${controlFile.length} cfA${job}\n`, 'it does not take the control file');
  await ask(bytes, Buffer.concat([controlFile, Buffer.of(0)]), 'it does not accept the control file');
  await ask(bytes, `\x03${size} dfA${job}\n`, `it does not take ${size} bytes; it may be out of space`);

  // The server can refuse a file before it has received the whole file. So the client waits for the server's answer not
  // only after it has sent the file, but also while it sends the file.
  const sent = lastValueFrom(bytes.sendFrom(contents(file, name, before)), { defaultValue: undefined });
  const answered = acknowledged(bytes, 'it could not save the file; it may be out of space');
  await Promise.race([sent, answered]);
  await Promise.all([sent, answered]);
}
// #endregion

/**
 * Yields the content of the file, and then the zero byte that marks the file as complete. If the file has changed since
 * `before`, throws instead of yielding the zero byte.
 */
async function* contents(file: FileHandle, name: string, before: Stats): AsyncGenerator<Buffer> {
  let rest = before.size;
  while (rest > 0) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(Math.min(rest, 65_536)));
    if (bytesRead === 0) break;
    rest -= bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
  const after = await file.stat();
  if (rest > 0 || after.size !== before.size || after.mtimeMs !== before.mtimeMs) {
    throw new Error(`${name} changed while it was sent, so it is not printed: print it again`);
  }
  yield Buffer.of(0);
}

async function ask(bytes: Bytes, words: string | Buffer, refusal: string): Promise<void> {
  bytes.next(words);
  await acknowledged(bytes, refusal);
}

/**
 * Waits for the zero byte with which the server acknowledges a step. Any other byte is a refusal, and some servers send
 * a reason after that byte.
 */
async function acknowledged(bytes: Bytes, refusal: string): Promise<void> {
  const answer = await firstValueFrom(bytes.framed(fixedLength(1)), { defaultValue: undefined });
  if (answer === undefined) throw new Error('the server ended the connection before it had the job: print it again');
  if (answer[0] === 0) return;
  const given = bytes.framed(lines({ maxLength: longestReason })).pipe(timeout({ first: 1_000, with: () => of('') }));
  const reason = await firstValueFrom(given, { defaultValue: '' }).catch(() => '');
  throw new Error(`the server refuses: ${reason.trim() === '' ? refusal : plain(reason, longestReason)}`);
}

// #region dial
/**
 * Dials from a local port from 721 to 731, as RFC 1179 requires. Only root may use these ports. If none of these ports
 * can be used, dials from any port, which most servers accept.
 */
async function dial(address: string): Promise<Connection> {
  const where = parseAddress(
    /^t(cp|ls):\/\/([^:[\]/]+|\[[^\]]+\])$/.test(address) ? `${address}:${defaultPort}` : address,
  );
  const options = { idleTimeout: patience };
  if (where.transport !== 'tcp') return connect(where, options).open();
  for (let localPort = 731; localPort >= 721; localPort--) {
    try {
      return await connect(where, { ...options, localPort }).open();
    } catch (error) {
      const code = error instanceof SocketError ? error.code : undefined;
      if (code === 'EACCES') break;
      if (code !== 'EADDRINUSE' && code !== 'EADDRNOTAVAIL') throw error;
    }
  }
  return connect(where, options).open();
}
// #endregion

/** Replaces line ends and control characters with spaces, and cuts the text off after `longest` characters. */
function plain(text: string, longest: number): string {
  return text
    .replace(/[\p{C}\s]+/gu, ' ')
    .trim()
    .slice(0, longest);
}

function user(): string {
  try {
    return plain(userInfo().username, 31);
  } catch {
    return `uid-${process.getuid?.() ?? 'unknown'}`;
  }
}

function advice(error: unknown, address: string): unknown {
  if (!(error instanceof SocketError)) return error;
  switch (error.code) {
    case 'ERR_ADDRESS_INVALID':
      return error;
    case 'ECONNREFUSED':
    case 'ENOENT':
      return new Error(`nobody listens at ${address}: check the address, and whether the print server runs`);
    case 'ENOTFOUND':
      return new Error(`no host has this name: ${address}`);
    case 'ERR_TIMEOUT_CONNECT':
      return new Error(`${address} does not answer: check the address, and the network`);
    case 'ERR_TIMEOUT_IDLE':
      return new Error(
        `the server has been silent for ${patience / 1_000} s: check whether it is busy, and print again`,
      );
    case 'ECONNRESET':
    case 'EPIPE':
    case 'ERR_CLOSED':
      return new Error('the server cut the connection off before it had the job: print it again');
    default:
      return error;
  }
}

await program('ADDRESS QUEUE FILE', [3, 3], async (address = '', queue = '', path = '') => {
  if (!/^[!-~]{1,200}$/.test(queue)) throw new UsageError('a queue has a name without spaces');
  // `stat` comes before `open`, because opening a named pipe waits until a program opens the pipe for writing.
  const isFile = await stat(path)
    .then((stats) => stats.isFile())
    .catch(() => false);
  if (!isFile) throw new UsageError(`${path} is no file that can be printed`);
  await using file = await open(path);
  let connection: Connection | undefined;
  try {
    connection = await dial(address);
    await print(connection.bytes, queue, file, plain(basename(path), 131));
    await connection.close();
  } catch (error) {
    connection?.destroy();
    throw advice(error, address);
  }
});
