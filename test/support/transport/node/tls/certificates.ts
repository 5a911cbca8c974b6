import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** A certificate and its key, as `node:tls` takes them. */
export interface Identity {
  readonly key: string;
  readonly cert: string;
}

/** The private authority that has issued every certificate except the stranger's; created by `certificates/make.sh`. */
export const authority = read('authority.pem');

/** For localhost, 127.0.0.1 and ::1. */
export const server = identity('server');

/** For other.test and 127.0.0.1. */
export const other = identity('other');

/** For a client, with the name somebody. */
export const client = identity('client');

/** For localhost, expired. */
export const expired = identity('expired');

/** For localhost, signed by itself. */
export const stranger = identity('stranger');

function identity(name: string): Identity {
  return { key: read(`${name}.key`), cert: read(`${name}.pem`) };
}

function read(name: string): string {
  return readFileSync(new URL(`certificates/${name}`, import.meta.url), 'utf8');
}

/** The path of a certificate or of a key. */
export const file = (name: string): string => fileURLToPath(new URL(`certificates/${name}`, import.meta.url));
