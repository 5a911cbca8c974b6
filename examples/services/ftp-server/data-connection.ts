/**
 * Opens data connections: one for each file and each listing. The other end of a data connection is always the client's
 * own address.
 */
import { concatMap, EmptyError, filter, firstValueFrom, from, Subject, take, takeUntil, timeout } from 'rxjs';
import { type Address, connect, type Connection, listen, type ServerTlsOptions, SocketError } from 'rxjs-sockets';
import { Refusal } from './control.js';

export type TcpAddress = Extract<Address, { transport: 'tcp' }>;

/** The server's TLS options, for connections that the server accepts and for connections that it dials. */
export type DataTls = ServerTlsOptions & { readonly isServer: true };

export interface DataOptions {
  /** The time limit for opening the connection, in ms. */
  readonly openTimeout: number;
  /** The time without progress after which a transfer is aborted, in ms. */
  readonly stallTimeout: number;
  /** The TLS options. Undefined if the data connection is plain text. */
  readonly tls: DataTls | undefined;
}

/**
 * The data connection of the next transfer. The client has announced this data connection with EPSV, PASV, EPRT or
 * PORT.
 */
export interface DataConnection {
  open(): Promise<Connection>;
  /** Closes the connection if it is already open, and otherwise stops opening the connection. */
  cancel(): void;
}

// #region accept-once
/** Listens on one of `ports`, for one connection from the client of the control connection. */
export async function passive(
  control: { readonly local: TcpAddress; readonly remote: TcpAddress },
  ports: readonly [first: number, last: number],
  options: DataOptions,
): Promise<DataConnection & { readonly port: number }> {
  const { openTimeout, stallTimeout, tls } = options;
  const [first, last] = ports;
  // The search for a free port starts at a random port, so that a stranger cannot guess which port is next.
  const start = first + Math.floor(Math.random() * (last - first + 1));
  for (let attempt = 0; ; attempt++) {
    const port = first + ((start - first + attempt) % (last - first + 1));
    const server = listen(
      { host: control.local.host, port },
      { handshakeTimeout: openTimeout, idleTimeout: stallTimeout, maxConnections: 16 },
    );
    const cancelled = new Subject<void>();
    let accepted: Connection | undefined;
    const arrived = server.pipe(
      filter((connection) => {
        const isWelcome = isSameHost(connection.remote, control.remote);
        if (!isWelcome) connection.destroy(new Error('a stranger at a data port'));
        return isWelcome;
      }),
      take(1), // ends the subscription to `server`, and so closes the listener
      concatMap(async (connection) => {
        accepted = connection;
        // TLS starts only after the check of the address. Otherwise, a stranger with a slow handshake could delay the
        // client.
        if (tls !== undefined) await connection.startTls(tls);
        return connection;
      }),
    );
    const connection = firstValueFrom(arrived.pipe(takeUntil(cancelled)));
    try {
      // If the connection fails before `open` is called, this handler prevents an unhandled rejection.
      connection.catch(() => undefined);
      const bound = await firstValueFrom(server.listening, { defaultValue: undefined });
      // If the server has failed to listen, `connection` rejects with the reason.
      if (bound === undefined) await connection;
      return {
        port: (bound as TcpAddress).port,
        open: () => firstValueFrom(from(connection).pipe(timeout({ first: openTimeout }))),
        cancel: () => {
          cancelled.next();
          accepted?.destroy();
        },
      };
    } catch (error) {
      const isTaken = error instanceof SocketError && error.code === 'EADDRINUSE';
      if (!isTaken || attempt === last - first) throw new Refusal(425, 'No data port is free.');
    }
  }
}
// #endregion

/**
 * Dials the client only at the address of the control connection, and only at ports from 1024 on. Without these limits,
 * a client could make the server attack other hosts (FTP bounce).
 */
export function active(
  control: { readonly local: TcpAddress; readonly remote: TcpAddress },
  target: { readonly host: string; readonly port: number },
  options: DataOptions,
): DataConnection {
  const { openTimeout, stallTimeout, tls } = options;
  if (!isSameHost({ transport: 'tcp', ...target }, control.remote)) {
    throw new Refusal(504, 'Data connections go to the address that you come from, and to no other.');
  }
  if (target.port < 1_024) throw new Refusal(504, 'Data connections go to ports from 1024.');
  const client = connect(
    { host: control.remote.host, port: target.port },
    {
      localAddress: control.local.host,
      halfOpen: true,
      connectTimeout: openTimeout,
      handshakeTimeout: openTimeout,
      idleTimeout: stallTimeout,
    },
  );
  let dialled: Connection | undefined;
  const cancelled = new Subject<void>();
  const dial = async (): Promise<Connection> => {
    dialled = await client.open();
    if (tls !== undefined) await dialled.startTls(tls);
    return dialled;
  };
  return {
    open: () => firstValueFrom(from(dial()).pipe(takeUntil(cancelled))),
    cancel: () => {
      cancelled.next();
      dialled?.destroy();
    },
  };
}

/**
 * Whether the error means that the client acted too late: the client sent no command in time, or opened no data
 * connection in time.
 */
export function isMissing(error: unknown): boolean {
  return error instanceof EmptyError || (error instanceof Error && error.name === 'TimeoutError');
}

function isSameHost(one: Address | undefined, other: TcpAddress): boolean {
  return one?.transport === 'tcp' && plainHost(one.host) === plainHost(other.host);
}

/** Makes hosts comparable: a server that listens on `::` shows the host `127.0.0.1` as `::ffff:127.0.0.1`. */
function plainHost(host: string): string {
  return host.replace(/^::ffff:(?=[\d.]+$)/i, '').toLowerCase();
}

/** Parses the argument of `PORT h1,h2,h3,h4,p1,p2`. */
export function parsePort(argument: string): { host: string; port: number } | undefined {
  const numbers = /^\d{1,3}(?:,\d{1,3}){5}$/.test(argument) ? argument.split(',').map(Number) : [];
  if (numbers.length !== 6 || numbers.some((number) => number > 255)) return undefined;
  return { host: numbers.slice(0, 4).join('.'), port: numbers[4]! * 256 + numbers[5]! };
}

/** Parses the argument of `EPRT |1|127.0.0.1|40123|`. The delimiter may be a different character than `|`. */
export function parseExtendedPort(argument: string): { family: string; host: string; port: number } | undefined {
  const match = /^([!-~])(\d+)\1([\da-f.:]+)\1(\d{1,5})\1$/i.exec(argument);
  const port = Number(match?.[4]);
  if (match === null || port > 65_535) return undefined;
  return { family: match[2]!, host: match[3]!, port };
}

/** Formats an address as `h1,h2,h3,h4,p1,p2`, for the reply to PASV. */
export function formatPort({ host, port }: { readonly host: string; readonly port: number }): string {
  return [...plainHost(host).split('.'), port >> 8, port & 255].join(',');
}

/** Returns the address family, as EPSV and EPRT write it: 1 for IPv4, and 2 for IPv6. */
export function familyOf({ host }: { readonly host: string }): '1' | '2' {
  return plainHost(host).includes(':') ? '2' : '1';
}
