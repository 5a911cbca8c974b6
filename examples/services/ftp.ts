/**
 * A client of FTP servers: lists a folder, gets a file, puts a file.
 *
 *     npm run example -- ftp.ts tcp://127.0.0.1:2121 anonymous me@ list
 *     npm run example -- ftp.ts tcp://127.0.0.1:2121 anonymous me@ get notes.txt /tmp/notes.txt
 *
 * The client asks the server for TLS (AUTH TLS). If the server says that it has no TLS, the client continues in plain
 * text, and prints a note unless the user is anonymous. An attacker on the network can fake the answer that the server
 * has no TLS. With FTP_TLS=required, the client ends if there is no TLS. With FTP_TLS=off, the client does not ask for
 * TLS. If the server's certificate cannot be verified, the client ends. NODE_EXTRA_CA_CERTS=FILE adds a private
 * certificate authority. With tls://HOST:990, the connection begins with TLS.
 */
import { open, rename, rm } from 'node:fs/promises';
import { EmptyError, lastValueFrom, TimeoutError } from 'rxjs';
import { parseAddress, SocketError } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { FtpClient, FtpError, type TlsPolicy } from './ftp/client.js';
import { textOf } from './ftp/replies.js';
import { program, UsageError } from './program.js';

const usage = 'ADDRESS USER PASSWORD list [PATH] | get REMOTE LOCAL | put LOCAL REMOTE';

await program(usage, [4, 6], async (address = '', user = '', password = '', task, ...args) => {
  const [first = '', second = ''] = args;
  const work = workOf(task, args.length, first, second);
  const where = parseAddress(address);
  if (where.transport !== 'tcp') throw new UsageError('ADDRESS has to be a TCP address: data connections need one');
  // A line end in an argument would start a second command.
  for (const text of [user, password, ...args])
    if (/[\r\n\0]/.test(text)) throw new UsageError('no argument may have a line end in it');
  try {
    const client = await FtpClient.open(where, user, password, policyOf(process.env['FTP_TLS']));
    try {
      await work(client);
    } finally {
      await client.close();
    }
  } catch (error) {
    throw explained(error, address);
  }
});

function workOf(
  task: string | undefined,
  count: number,
  first: string,
  second: string,
): (client: FtpClient) => Promise<void> {
  if (task === 'list' && count <= 1) return (client) => list(client, first);
  if (task === 'get' && count === 2) return (client) => get(client, first, second);
  if (task === 'put' && count === 2) return (client) => put(client, first, second);
  throw new UsageError('there are list [PATH], get REMOTE LOCAL and put LOCAL REMOTE');
}

// #region get
/** Receives a file under a temporary name, and renames the local file when it is complete. */
async function get(client: FtpClient, remote: string, local: string): Promise<void> {
  await client.ask('TYPE I', 200);
  const size = await client.size(remote);
  const part = `${local}.part-${process.pid}`;
  const file = await open(part, 'wx');
  try {
    let received = 0;
    await client.transfer(`RETR ${remote}`, async ({ bytes }) => {
      for await (const chunk of bytes) {
        await file.appendFile(chunk);
        received += chunk.length;
      }
    });
    if (size !== undefined && received !== size) {
      throw new Error(`Only ${received} of ${size} bytes have come: try again.`);
    }
    await file.close();
    await rename(part, local);
  } catch (error) {
    await file.close();
    await rm(part, { force: true });
    throw error;
  }
}
// #endregion

// #region put
/** Sends a file as fast as the server takes it, and then checks the size of the file on the server. */
async function put(client: FtpClient, local: string, remote: string): Promise<void> {
  const file = await open(local, 'r');
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw new Error(`${local} is not a file: only files can be put.`);
    await client.ask('TYPE I', 200);
    await client.transfer(`STOR ${remote}`, async (data) => {
      // The server sends nothing on this connection. This side still has to read, because the timeout for a silent
      // server runs only while this side reads.
      data.bytes.subscribe({ error: () => undefined });
      await lastValueFrom(data.bytes.sendFrom(file.createReadStream({ autoClose: false })), {
        defaultValue: undefined,
      });
    });
    const stored = await client.size(remote);
    if (stored !== undefined && stored !== stats.size) {
      throw new Error(`The server has ${stored} of ${stats.size} bytes: the file is incomplete there, put it again.`);
    }
  } finally {
    await file.close();
  }
}
// #endregion

// #region list
/**
 * Prints a folder. Uses MLSD, whose format is standard. If the server does not support MLSD or refuses it, uses LIST,
 * whose format depends on the server.
 */
async function list(client: FtpClient, path: string): Promise<void> {
  const name = path.startsWith('-') ? `./${path}` : path; // a server may run `ls`, and `-` begins an option of `ls`
  if (client.has('MLST')) {
    try {
      await printAll(client, `MLSD ${name}`.trimEnd(), fromFacts);
      return;
    } catch (error) {
      if (!(error instanceof FtpError && error.code >= 500)) throw error;
      // MLSD accepts only the path of a folder, but LIST also accepts the path of a file.
    }
  }
  await printAll(client, `LIST ${name}`.trimEnd(), (line) => line);
}

async function printAll(
  client: FtpClient,
  command: string,
  shown: (line: string) => string | undefined,
): Promise<void> {
  await client.transfer(command, async ({ bytes }) => {
    for await (const line of bytes.framed(lines({ encoding: 'latin1' }))) {
      const text = shown(textOf(line));
      if (text === undefined) continue;
      await new Promise<void>((resolve) => process.stdout.write(`${text}\n`, () => resolve()));
    }
  });
}
// #endregion

/** Formats `type=file;size=1234;modify=20261129005102; name` as `file  1234  2026-11-29 00:51:02  name`. */
function fromFacts(line: string): string | undefined {
  const space = line.indexOf(' ');
  const facts = new Map(
    line
      .slice(0, space)
      .toLowerCase()
      .split(';')
      .map((fact) => fact.split('=') as [string, string]),
  );
  const type = facts.get('type') ?? '';
  if (type === 'cdir' || type === 'pdir') return undefined;
  const modified = (facts.get('modify') ?? '').replace(
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d).*$/,
    '$1-$2-$3 $4:$5:$6',
  );
  return `${type.padEnd(4)} ${(facts.get('size') ?? '').padStart(12)}  ${modified.padEnd(19)}  ${line.slice(space + 1)}`;
}

function policyOf(value: string | undefined): TlsPolicy {
  if (value === undefined || value === '' || value === 'auto') return 'auto';
  if (value === 'required' || value === 'off') return value;
  throw new UsageError(`FTP_TLS is auto, required or off, not ${value}`);
}

function explained(error: unknown, address: string): unknown {
  if (error instanceof TimeoutError) return new Error('The server does not reply: try again later.');
  if (error instanceof EmptyError) return new Error('The server has ended the connection: try again.');
  if (error instanceof SocketError) return new Error(`${error.message}\n${networkAdvice(error, address)}`);
  if (error instanceof Error && 'syscall' in error) return new Error(`${error.message}\n${fileAdvice(error)}`);
  return error;
}

function networkAdvice({ code, cause }: SocketError, address: string): string {
  switch (code) {
    case 'ERR_TLS':
      return codeOf(cause).startsWith('ERR_SSL_')
        ? 'Does the server begin with TLS there? For one that waits for AUTH TLS, ADDRESS is tcp://HOST:21.'
        : 'Trust the authority of its certificate with NODE_EXTRA_CA_CERTS=FILE, or, ' +
            'where passwords may be read on the way, switch TLS off with FTP_TLS=off.';
    case 'ECONNREFUSED':
      return `Is an FTP server running at ${address}?`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'Check the name of the host.';
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'ERR_TIMEOUT_CONNECT':
      return 'Check the address, and the network.';
    case 'ERR_FRAME_INVALID':
    case 'ERR_FRAME_TOO_LONG':
      return `Is it an FTP server that runs at ${address}?`;
    default:
      return 'The connection was lost: try again.';
  }
}

function fileAdvice(error: Error): string {
  return codeOf(error) === 'ENOSPC'
    ? 'The disk of LOCAL is full: remove something from it.'
    : 'Check the path of LOCAL, and whether you may use it.';
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
