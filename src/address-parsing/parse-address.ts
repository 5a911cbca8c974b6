import type { Address, AddressInput } from '../address/address.js';
import { filePath } from '../address/format-address.js';
import type { SocketError } from '../errors/socket-error.js';
import { invalid } from '../validation/checks.js';
import { describeValue } from '../errors/describe-value.js';
import { ipFamily } from './ip.js';
import { lookupService } from './services-file.js';

type Members = Readonly<Record<string, unknown>>;

/** The maximum size of a unix path, in bytes. Node 20 silently truncates a longer path. @internal */
export const maxPathBytes = 107;

const maxPort = 65_535;

const maxFd = 2 ** 31 - 1;

const loopback = '127.0.0.1';

/**
 * Converts any form of an address to an {@link Address}.
 *
 * @param input - the address. Ports are integers from 0 to 65,535. Unix paths and abstract names have at most 107 bytes
 * of UTF-8. The default host is `127.0.0.1`. There is no default port
 * @returns a new plain object. {@link formatAddress} converts this object to a string, which `parseAddress` converts
 * back to the same address
 * @throws `ERR_ADDRESS_INVALID` if a part is bad, or if an object has an unknown member. The message names the bad part
 * and its value
 * @example
 * ```ts
 * parseAddress('tls://[::1]:443'); // { transport: 'tcp', host: '::1', port: 443, tls: true }
 * parseAddress({ port: 7000 }); // { transport: 'tcp', host: '127.0.0.1', port: 7000 }
 * parseAddress('unix:@app'); // { transport: 'unix', path: '\0app' }
 * ```
 * @see https://man7.org/linux/man-pages/man5/services.5.html, rules A1 to A6
 */
export function parseAddress(input: AddressInput): Address {
  if (typeof input === 'string') return fromString(input);
  if (input instanceof URL) return fromUrl(input);
  if (typeof input === 'object' && input !== null && !Array.isArray(input)) return fromObject(input);
  throw invalidAddress('address', 'must be a string, a URL or an object', input);
}

/**
 * Throws for a valid address that no client can connect to.
 *
 * @internal
 */
export function assertDialable(address: Address): void {
  if (address.transport === 'fd') throw invalidAddress('fd', 'must be used with listen only', address.fd);
  if (address.transport === 'unix' && address.path === '') {
    throw invalidAddress('path', 'must not be empty, because no client can connect to an unnamed socket', '');
  }
  if (address.transport === 'tcp' && address.port === 0) {
    throw invalidAddress('port', `must be an integer from 1 to ${maxPort} for a client`, 0);
  }
}

function fromString(text: string): Address {
  const [, scheme = '', rest = ''] = /^([a-z]+):(.*)$/s.exec(text) ?? [];
  if (scheme !== 'tcp' && scheme !== 'tls') return fromOpaque(scheme, rest, text);
  const authority = rest.replace(/^\/\/(.*?)\/?$/s, '$1');
  if (!rest.startsWith('//') || /[/?#@]/.test(authority)) {
    throw invalidAddress('address', `must be ${scheme}://host:port and nothing else`, text);
  }
  const [, host = '', port = ''] = /^(.*?)(?::([^:\]]*))?$/s.exec(authority) ?? [];
  return tcp(unbracketed(host), digits('port', port, text), scheme === 'tls');
}

function fromUrl(url: URL): Address {
  const { href, protocol, host, hostname, pathname, port } = url;
  const scheme = protocol.slice(0, -1);
  if (url.username + url.password + url.search + url.hash !== '') {
    throw invalidAddress('address', 'must have no user, password, query or fragment', href);
  }
  if (scheme === 'tcp' || scheme === 'tls') {
    if (pathname !== '' && pathname !== '/') throw invalidAddress('address', 'must have no path after the host', href);
    return tcp(unbracketed(decoded(hostname)), digits('port', port, href), scheme === 'tls');
  }
  if (host !== '') throw invalidAddress('address', 'must start with tcp:// or tls:// if it has a host', href);
  // At the start of the path, an encoded '@' is part of a file name, and a plain '@' marks an abstract socket.
  const isFile = scheme === 'unix' && !pathname.startsWith('@');
  return fromOpaque(scheme, isFile ? filePath(decoded(pathname)) : decoded(pathname), href);
}

function fromOpaque(scheme: string, rest: string, whole: string): Address {
  switch (scheme) {
    case 'unix':
      return unix(rest.startsWith('@') ? `\0${rest.slice(1)}` : rest);
    case 'memory':
      return memory(rest);
    case 'fd':
      return descriptor(digits('fd', rest, whole));
    default:
      throw invalidAddress('address', 'must start with tcp://, tls://, unix:, memory: or fd:', whole);
  }
}

function fromObject(input: Members): Address {
  if (input['transport'] !== undefined) return fromAddress(input);
  const given = ['port', 'service', 'path', 'fd'].filter((kind) => input[kind] !== undefined);
  switch (given.length === 1 ? given[0] : undefined) {
    case 'port':
      return tcp(only(input, 'port', 'host')['host'], input['port']);
    case 'service':
      return tcp(only(input, 'service', 'host')['host'], service(input['service']));
    case 'path':
      return unix(only(input, 'path')['path']);
    case 'fd':
      return descriptor(only(input, 'fd')['fd']);
    default:
      throw invalidAddress('address', 'must have exactly one of port, service, path and fd', input);
  }
}

function fromAddress(input: Members): Address {
  switch (input['transport']) {
    case 'tcp': {
      const { host, port, tls } = only(input, 'transport', 'host', 'port', 'tls');
      if (tls !== undefined && tls !== true) throw invalidAddress('tls', 'must be true or absent', tls);
      return tcp(host, port, tls);
    }
    case 'unix':
      return unix(only(input, 'transport', 'path')['path']);
    case 'memory':
      return memory(only(input, 'transport', 'name')['name']);
    case 'fd':
      return descriptor(only(input, 'transport', 'fd')['fd']);
    default:
      throw invalidAddress('transport', "must be 'tcp', 'unix', 'memory' or 'fd'", input['transport']);
  }
}

function tcp(host: unknown, port: unknown, tls = false): Address {
  const address = { transport: 'tcp', host: hostOf(host), port: integer('port', port, maxPort) } as const;
  return tls ? { ...address, tls } : address;
}

function unix(path: unknown): Address {
  if (typeof path !== 'string') throw invalidAddress('path', 'must be a string', path);
  const name = path.startsWith('\0') ? path.slice(1) : filePath(path);
  if (name.trim() === '') throw invalidAddress('path', 'must not be empty or blank', path);
  if (name.includes('\0'))
    throw invalidAddress('path', 'must contain no NUL, except at the start of an abstract name', path);
  // Node replaces a lone surrogate with U+FFFD, so two different paths could become the same path.
  if (/\p{Surrogate}/u.test(name)) throw invalidAddress('path', 'must be well-formed Unicode', path);
  const bytes = Buffer.byteLength(name);
  if (bytes > maxPathBytes) throw invalidAddress('path', `must have at most ${maxPathBytes} bytes, not ${bytes}`, path);
  return { transport: 'unix', path: path.startsWith('\0') ? path : name };
}

function memory(name: unknown): Address {
  if (typeof name !== 'string' || name === '') throw invalidAddress('name', 'must be a non-empty string', name);
  return { transport: 'memory', name };
}

function descriptor(fd: unknown): Address {
  return { transport: 'fd', fd: integer('fd', fd, maxFd) };
}

function service(name: unknown): number {
  if (typeof name !== 'string' || name === '') throw invalidAddress('service', 'must be a non-empty string', name);
  return lookupService(name);
}

function hostOf(host: unknown): string {
  if (host === undefined) return loopback;
  if (typeof host === 'string' && (/^[^\s\p{Cc}/\\?#@:%[\]]+$/u.test(host) || ipFamily(host) === 6)) return host;
  throw invalidAddress('host', 'must be a name or an IP address', host);
}

function unbracketed(host: string): string | undefined {
  if (host === '') return undefined;
  const inside = /^\[(.*)\]$/s.exec(host)?.[1];
  if (inside === undefined ? !host.includes(':') : ipFamily(inside) === 6) return inside ?? host;
  throw invalidAddress('host', 'must have an IPv6 address in brackets, and nothing else', host);
}

function digits(option: string, text: string, whole: string): number {
  if (text === '') throw invalidAddress(option, 'must not be missing', whole);
  if (!/^\d+$/.test(text)) throw invalidAddress(option, 'must be decimal digits', text);
  return Number(text);
}

function integer(option: string, value: unknown, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max) return Math.abs(value); // no -0
  throw invalidAddress(option, `must be an integer from 0 to ${max}`, value);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalidAddress('address', 'must be percent-encoded UTF-8', text);
  }
}

/**
 * Throws if `input` has a member other than `members`. Such a member would otherwise be ignored, for example the
 * `address` of Node's AddressInfo.
 */
function only(input: Members, ...members: string[]): Members {
  const extra = Object.keys(input).find((key) => input[key] !== undefined && !members.includes(key));
  if (extra !== undefined)
    throw invalidAddress(
      'address',
      `must not have ${describeValue(extra)} in addition to ${members.join(', ')}`,
      input,
    );
  return input;
}

function invalidAddress(part: string, requirement: `must ${string}`, value: unknown): SocketError {
  return invalid('ERR_ADDRESS_INVALID', `${part} ${requirement}`, value);
}
