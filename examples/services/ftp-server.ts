/**
 * A file server that speaks FTP (RFC 959), with EPSV and EPRT (RFC 2428), MLSD, SIZE and REST (RFC 3659), and TLS (RFC
 * 4217). The server serves one folder, and no path leads out of that folder.
 *
 *     npm run example -- ftp-server.ts tcp://127.0.0.1:2121 /srv/files
 *     curl ftp://127.0.0.1:2121/ --upload-file notes.txt
 *
 * By default, every client may read and change the folder, and may log in with any user name and any password. If
 * ADDRESS has no host, or if its host is a loopback address, only clients on this machine can connect. For any other
 * ADDRESS, set FTP_USER and FTP_PASSWORD, so that only the user FTP_USER may log in. If the server also has
 * `--tls KEY CERT`, that user has to start TLS (AUTH TLS) before the login. FTP_PASSIVE_PORTS, such as 50000-50099, is
 * the range of the ports for data connections to the server. A firewall has to allow these ports.
 */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { listen, serve } from 'rxjs-sockets';
import { type Command, control } from './ftp-server/control.js';
import { Folder } from './ftp-server/folder.js';
import { Session } from './ftp-server/session.js';
import { type Settings, usualLimits } from './ftp-server/settings.js';
import { program, serveUntilStopped, UsageError } from './program.js';

await program('ADDRESS FOLDER [--tls KEY CERT]', [2, 5], async (address = '', path = '', ...more) => {
  const stopping = new AbortController();
  const settings: Settings = {
    folder: await Folder.open(path).catch((error: unknown) => {
      throw new UsageError(`FOLDER cannot be served: ${messageOf(error)}`);
    }),
    login: loginOf(process.env),
    tls: await tlsOf(more),
    ports: portsOf(process.env['FTP_PASSIVE_PORTS']),
    stopping: stopping.signal,
    limits: usualLimits,
  };

  // #region server
  const options = {
    codec: control,
    tls: isEncrypted(address) ? settings.tls?.control : undefined,
    maxConnections: 1_000, // most connections are idle; the server resets a client beyond this limit
  };
  const server = listen<Command, string>(address, options);
  server.listening.subscribe({ complete: () => stopping.abort() });
  const served = server.pipe(serve((connection) => new Session(connection, settings).run()));
  await serveUntilStopped(server, served);
  // #endregion
  await settings.folder.close();
});

function isEncrypted(address: string): boolean {
  return address.startsWith('tls:');
}

async function tlsOf(args: readonly string[]): Promise<Settings['tls']> {
  if (args.length === 0) return undefined;
  const [option, key, cert] = args;
  if (option !== '--tls' || key === undefined || cert === undefined) throw new UsageError('--tls needs KEY and CERT');
  try {
    // The control connection and the data connections share the ticket keys. So a data connection can resume the TLS
    // session of its control connection.
    const tls = { key: await readFile(key), cert: await readFile(cert), ticketKeys: randomBytes(48) };
    createSecureContext(tls); // if `key` and `cert` do not belong together, throws now, and not later for each client
    return {
      // Many clients end TLS with a FIN, but without a close_notify. The control connection allows this: a command that
      // was cut off has no line end, so the server does not execute the command. Data connections do not allow this,
      // because a file that was cut off would look complete.
      control: { ...tls, allowHalfClosed: true },
      data: { ...tls, isServer: true },
    };
  } catch (error) {
    throw new UsageError(`--tls: KEY and CERT have to be PEM files that belong together: ${messageOf(error)}`);
  }
}

function loginOf({ FTP_USER: user, FTP_PASSWORD: password }: NodeJS.ProcessEnv): Settings['login'] {
  if (user === undefined && password === undefined) return undefined;
  if (user === undefined || password === undefined) throw new UsageError('FTP_USER and FTP_PASSWORD go together');
  return { user, password };
}

function portsOf(range = '0-0'): Settings['ports'] {
  const [, first, last] = /^(\d{1,5})-(\d{1,5})$/.exec(range) ?? [];
  const ports = [Number(first), Number(last)] as const;
  if (ports[0] <= ports[1] && ports[1] <= 65_535) return ports;
  throw new UsageError(`FTP_PASSIVE_PORTS has to be a range such as 50000-50099, not ${range}`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
