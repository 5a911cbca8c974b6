import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface Identity {
  readonly key: string;
  readonly cert: string;
}

/** The private authority that has issued every certificate except the stranger's. See `certificates/make.sh`. */
export const authority = read('authority.pem');

/** A certificate for localhost, 127.0.0.1 and ::1. */
export const server = identity('server');

/** A certificate for other.test and 127.0.0.1. */
export const other = identity('other');

/** A client's certificate, with the name somebody. */
export const client = identity('client');

/** An expired certificate for localhost. */
export const expired = identity('expired');

/** A self-signed certificate for localhost. */
export const stranger = identity('stranger');

function identity(name: string): Identity {
  return { key: read(`${name}.key`), cert: read(`${name}.pem`) };
}

function read(name: string): string {
  return readFileSync(new URL(`certificates/${name}`, import.meta.url), 'utf8');
}

/** The path of a certificate or of a key. */
export const file = (name: string): string => fileURLToPath(new URL(`certificates/${name}`, import.meta.url));
