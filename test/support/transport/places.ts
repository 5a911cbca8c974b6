import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AddressInput, Transport } from 'rxjs-sockets';
import { memoryTransport } from 'rxjs-sockets/testing';
import { onTestFinished } from 'vitest';
import { usesInternals } from './node/internals/uses-internals.js';
import { authority, server as identity } from './node/tls/certificates.js';

/** One of the transports, with fresh addresses. Everything is stopped at the end of the test. */
export interface Place {
  readonly name: 'tcp' | 'unix' | 'memory' | 'tls' | 'tls-unix';
  /** An address without a listener. For TCP, it has port 0. */
  address(): Promise<AddressInput>;
  /** The options that `listen` and `connect` need at this place. */
  readonly options: { readonly transport?: Transport; readonly tls?: typeof trust };
}

/** The TLS options of both ends. Each end has a certificate, and trusts the same authority. */
const trust = { ...identity, ca: authority };

export const tcp: Place = { name: 'tcp', address: () => Promise.resolve({ port: 0 }), options: {} };

export const unix: Place = {
  name: 'unix',
  address: async () => ({ path: join(await freshFolder(), 'socket') }),
  options: {},
};

const tlsOverTcp: Place = {
  name: 'tls',
  address: () => Promise.resolve('tls://localhost:0'),
  options: { tls: trust },
};

const tlsOverUnix: Place = {
  name: 'tls-unix',
  address: async () => ({ path: join(await freshFolder(), 'socket.tls') }),
  options: { tls: trust },
};

/** A place with a separate memory transport. */
export function memory(): Place {
  const transport = memoryTransport();
  let named = 0;
  return { name: 'memory', address: () => Promise.resolve(`memory:test-${++named}`), options: { transport } };
}

/** The places whose other end can be a plain `node:net` peer. */
export const realPlaces: readonly Place[] = [tcp, unix];

/** The places whose other end can be a plain `node:tls` peer. */
export const securePlaces: readonly Place[] = [tlsOverTcp, tlsOverUnix];

/** Every place without TLS. Memory needs none of Node's internals, so the project `public-api` does not test it. */
export const places: readonly Place[] = usesInternals ? [...realPlaces, memory()] : realPlaces;

export const allPlaces: readonly Place[] = [...places, ...securePlaces];

/** Every place with a plain peer. */
export const allRealPlaces: readonly Place[] = [...realPlaces, ...securePlaces];

/** Pairs each place with its name, for the title of `describe.each`. */
export const named = (some: readonly Place[]): (readonly [string, Place])[] => some.map((place) => [place.name, place]);

/** A new folder that is removed at the end of the test. */
export async function freshFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'rxjs-sockets-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
