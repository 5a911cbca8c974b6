import type tls from 'node:tls';
import { SocketError } from '../../../errors/socket-error.js';
import { checkOptions, flag, func, invalidOption, object, optional } from '../../../validation/checks.js';
import { nodeCrypto, nodeTls } from '../../lazy-builtins.js';
import type { ServerTlsOptions } from '../../tls.js';

type Options = Readonly<Record<string, unknown>>;

const checks = {
  rejectUnauthorized: optional(flag),
  requestCert: optional(flag),
  allowHalfClosed: optional(flag),
  checkServerIdentity: optional(func()),
  SNICallback: optional(func()),
  ALPNCallback: optional(func()),
  pskCallback: optional(func()),
};
const certificate = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----.*?-----END (?:X509 |TRUSTED )?CERTIFICATE-----/gs;

/** Throws `ERR_OPTION_INVALID` for options that cannot work for any client (A5). */
export function checkServerTls(options: unknown): asserts options is ServerTlsOptions {
  const { key, cert, pfx, SNICallback, pskCallback } = checked(options);
  const identity = (isGiven(key) && isGiven(cert)) || isGiven(pfx);
  if (!identity && SNICallback === undefined && pskCallback === undefined) {
    throw invalid('tls: a server needs `key` and `cert`, `pfx`, `SNICallback` or `pskCallback`');
  }
}

/** Throws `ERR_OPTION_INVALID` for options that cannot work with any server (A5). */
export function checkClientTls(options: unknown): asserts options is tls.ConnectionOptions {
  const { servername, minDHSize, session } = checked(options);
  if (servername !== undefined && typeof servername !== 'string') {
    throw invalidOption('tls.servername', 'a string', servername);
  }
  if (minDHSize !== undefined && !((minDHSize as number) > 0)) {
    throw invalidOption('tls.minDHSize', 'a number over 0', minDHSize);
  }
  if (session !== undefined && !ArrayBuffer.isView(session)) {
    throw invalidOption('tls.session', 'the bytes of a session', session);
  }
  attempt(() => nodeTls().createSecureContext(options as tls.SecureContextOptions));
}

/**
 * Runs `make`, and converts an error that `make` throws to `ERR_OPTION_INVALID`. Node checks keys and certificates only
 * when it uses them.
 */
export function attempt<T>(make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw invalid(`tls: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  }
}

/** Rejects options that `node:tls` would ignore silently, so that TLS is never less safe than the caller expects. */
function checked(options: unknown): Options {
  const given = object<Options>()('tls', options);
  checkOptions(checks, given, 'tls');
  checkIdentity(given);
  checkAuthorities(given['ca']);
  checkProtocols(given['ALPNProtocols']);
  return given;
}

function checkIdentity({ key, cert, privateKeyIdentifier }: Options): void {
  if (isGiven(cert) && !isGiven(key) && privateKeyIdentifier === undefined) {
    throw invalid('tls.cert: a certificate needs its `key`');
  }
  if (isGiven(key) && !isGiven(cert)) throw invalid('tls.key: a key needs its certificate, `cert`');
}

/**
 * Rejects anything but certificates. OpenSSL would skip other text, and Node would replace an empty text with Node's
 * own list of authorities.
 */
function checkAuthorities(ca: unknown): void {
  if (ca === undefined) return;
  for (const one of Array.isArray(ca) ? (ca as unknown[]) : [ca]) {
    const text = typeof one === 'string' ? one : ArrayBuffer.isView(one) ? textOf(one) : '';
    const found = text.match(certificate);
    if (found === null) throw invalidOption('tls.ca', 'certificates in PEM', one);
    const { X509Certificate } = nodeCrypto();
    for (const pem of found) attempt(() => new X509Certificate(pem));
  }
}

function checkProtocols(protocols: unknown): void {
  if (protocols === undefined || ArrayBuffer.isView(protocols)) return;
  const isName = (name: unknown): boolean => {
    const length = typeof name === 'string' ? Buffer.byteLength(name) : ((name as Uint8Array | null)?.byteLength ?? 0);
    return length >= 1 && length <= 255;
  };
  if (!Array.isArray(protocols) || !protocols.every(isName)) {
    throw invalidOption('tls.ALPNProtocols', 'an array of names of 1 to 255 bytes', protocols);
  }
}

function isGiven(value: unknown): boolean {
  if (value === undefined || value === null || value === '') return false;
  return !Array.isArray(value) || value.length > 0;
}

function textOf(bytes: ArrayBufferView): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function invalid(message: string, cause?: unknown): SocketError {
  return new SocketError('ERR_OPTION_INVALID', message, cause === undefined ? {} : { cause });
}
