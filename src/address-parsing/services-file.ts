import { readFileSync } from 'node:fs';
import { SocketError } from '../errors/socket-error.js';
import { describeValue } from '../errors/describe-value.js';

/**
 * Finds the TCP port of a service in the text of a services(5) file. If several TCP entries have `name` as their name
 * or alias, the first of these entries is used. Service names are case-sensitive, as in getservbyname(3).
 *
 * @internal
 */
export function servicePort(text: string, name: string): number | undefined {
  for (const line of text.split('\n')) {
    const [entry, ...words] = line.replace(/#.*/s, '').trim().split(/\s+/);
    const [target = '', ...aliases] = words;
    if (entry !== name && !aliases.includes(name)) continue;
    const digits = /^(\d{1,5})\/tcp$/.exec(target)?.[1];
    if (digits !== undefined && Number(digits) <= 65_535) return Number(digits);
  }
  return undefined;
}

/**
 * Looks up a service in the services(5) file (A3). Each call reads the file again, so that the call uses the latest
 * entries.
 *
 * @internal
 */
export function lookupService(name: string, file = '/etc/services'): number {
  const port = servicePort(read(file, name), name);
  if (port === undefined) {
    throw new SocketError('ERR_ADDRESS_INVALID', `service ${describeValue(name)} has no TCP entry in ${file}`);
  }
  return port;
}

function read(file: string, name: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch (cause) {
    const message = `service ${describeValue(name)} can't be looked up: ${file} can't be read (${(cause as Error).message})`;
    throw new SocketError('ERR_ADDRESS_INVALID', message, { cause });
  }
}
