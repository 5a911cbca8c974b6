/** Reads the environment variables PGSSLMODE and PGSSLROOTCERT, which have the same meaning as for libpq. */
import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import type { Address } from 'rxjs-sockets';
import { UsageError } from '../program.js';

/**
 * Returns the TLS options for each attempt to log in, in the order of the attempts. `false` means no TLS.
 *
 * Only the mode `verify-full` protects against an attacker on the network. The mode `prefer`, which is the default of
 * libpq, protects only against eavesdroppers.
 *
 * @see https://www.postgresql.org/docs/current/libpq-ssl.html
 */
export function tlsAttempts(address: Address): readonly (false | ConnectionOptions)[] {
  if (address.transport === 'unix') return [false]; // no attacker can sit between the two ends of a unix socket
  const { PGSSLMODE: mode = 'prefer', PGSSLROOTCERT: authority } = process.env;
  const unverified = { rejectUnauthorized: false };
  const full = authority === undefined ? {} : { ca: certificates(authority) };
  const anyName = { ...full, checkServerIdentity: () => undefined };
  switch (mode) {
    case 'disable':
      return [false];
    case 'allow':
      return [false, unverified];
    case 'prefer':
      return [unverified, false];
    case 'require':
      return [authority === undefined ? unverified : anyName];
    case 'verify-ca':
      return [anyName];
    case 'verify-full':
      return [full];
    default:
      throw new UsageError(`PGSSLMODE is ${mode}: set disable, allow, prefer, require, verify-ca or verify-full`);
  }
}

function certificates(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UsageError(`PGSSLROOTCERT cannot be read: ${(error as Error).message}`);
  }
}
