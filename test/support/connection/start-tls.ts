import type net from 'node:net';
import tls from 'node:tls';
import { firstValueFrom } from 'rxjs';
import type { Closed, Connection, StartTlsOptions, TlsInfo } from 'rxjs-sockets';
import { authority, type Identity, server as identity } from '../transport/node/tls/certificates.js';
import { type Place, realPlaces } from '../transport/places.js';
import { acceptedAt, dialledAt } from './connected-pairs.js';

export const asClient = { ca: authority, servername: 'localhost' };
export const asServer: Identity = identity;

/** The library's role on a connection that starts TLS. The plain socket at the other end has the other role. */
export interface Side {
  readonly name: string;
  readonly role: 'accepted' | 'dialled';
  readonly place: Place;
  readonly options: StartTlsOptions;
  /** A connection of the library, and the plain socket at its other end. */
  pair<In = Buffer, Out = Uint8Array | string>(
    options?: object,
  ): Promise<{ near: Connection<In, Out>; raw: net.Socket }>;
  begin(raw: net.Socket, options?: object): tls.TLSSocket;
}

/** Both roles over TCP and unix sockets. The accepting side is the TLS server, the dialling side the TLS client. */
export const sides: readonly Side[] = realPlaces.flatMap((place): Side[] => [
  {
    name: `accepted over ${place.name}`,
    role: 'accepted',
    place,
    options: asServer,
    pair: (options) => acceptedAt(place, options),
    begin: beginAsClient,
  },
  {
    name: `dialled over ${place.name}`,
    role: 'dialled',
    place,
    options: asClient,
    pair: (options) => dialledAt(place, { halfOpen: true, ...options }),
    begin: beginAsServer,
  },
]);

export function beginAsClient(raw: net.Socket, options: tls.ConnectionOptions = {}): tls.TLSSocket {
  return quiet(tls.connect({ socket: raw, ...asClient, ...options }));
}

export function beginAsServer(raw: net.Socket, options: tls.TLSSocketOptions = {}): tls.TLSSocket {
  return quiet(new tls.TLSSocket(raw, { isServer: true, ...asServer, ...options }));
}

/** Resolves once the handshake of a plain socket has finished. */
export function secured(socket: tls.TLSSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('secure', () => resolve());
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed during the handshake')));
  });
}

/** A connection of the library that has started TLS, and the `node:tls` socket at its other end. */
export async function startedAt<In = Buffer, Out = Uint8Array | string>(
  side: Side,
  options?: object,
  tlsOptions: object = {},
): Promise<{ near: Connection<In, Out>; raw: net.Socket; peer: tls.TLSSocket; info: TlsInfo }> {
  const { near, raw } = await side.pair<In, Out>(options);
  const started = near.startTls({ ...side.options, ...tlsOptions });
  const peer = side.begin(raw);
  const [info] = await Promise.all([started, secured(peer)]);
  return { near, raw, peer, info };
}

/** How a handshake failed: the rejection of its promise, and the outcome that `closed` emits. */
export async function failureOf(
  started: Promise<TlsInfo>,
  near: Connection<any, any>,
): Promise<{ error: unknown; closed: Closed }> {
  const error: unknown = await started.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return { error, closed: await firstValueFrom(near.closed) };
}

function quiet(socket: tls.TLSSocket): tls.TLSSocket {
  return socket.on('error', () => undefined);
}
