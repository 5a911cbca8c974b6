import net from 'node:net';
import type tls from 'node:tls';
import type { Address } from '../../../address/address.js';
import type { ClientTls } from '../../tls.js';
import { nodeTls } from '../../lazy-builtins.js';
import type { HandshakeEvents } from './handshake.js';
import { handshakeError } from './tls-errors.js';

/**
 * Performs a client's handshake over a connected socket. If the handshake takes too long, the caller destroys `raw`.
 *
 * @param dialled - the dialled address. The certificate must be valid for the host of this address, unless the options
 * have a `servername` or a `host`
 * @param action - the start of error messages
 */
export function secureClient(
  raw: net.Socket,
  options: ClientTls,
  dialled: Address,
  events: HandshakeEvents,
  action?: string,
): void {
  const { connect, checkServerIdentity: check } = nodeTls();
  const { checkServerIdentity = check } = options;
  let isOver = false;
  const failed = (cause: unknown): void => {
    if (isOver) return;
    isOver = true;
    events.onError(handshakeError(cause, action, dialled));
  };
  let socket: tls.TLSSocket;
  try {
    socket = connect({
      // Node treats an option with the value undefined as given, so leave out options with the value undefined.
      ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)),
      ...namesFor(options, dialled),
      // Always set `rejectUnauthorized`, because Node would otherwise take its value from an environment variable.
      rejectUnauthorized: options.rejectUnauthorized ?? true,
      checkServerIdentity(name, certificate) {
        try {
          return checkServerIdentity(name, certificate);
        } catch (cause) {
          return cause instanceof Error ? cause : new Error(String(cause));
        }
      },
      socket: raw,
    });
  } catch (cause) {
    failed(cause);
    return;
  }
  socket.on('error', failed);
  socket.on('close', () => {
    failed(new Error('the server has gone'));
  });
  socket.on('secureConnect', () => {
    if (isOver) return;
    isOver = true;
    events.onSecure({ socket, allowHalfClosed: false });
  });
}

/**
 * Returns the name for SNI, which cannot be an IP address (RFC 6066), and the name that the certificate must be valid
 * for.
 */
function namesFor({ servername, host }: ClientTls, address: Address): { servername?: string; host?: string } {
  const dialled = address.transport === 'tcp' ? address.host : undefined;
  const name = servername ?? host ?? dialled;
  if (name === undefined) return {};
  if (net.isIP(name) !== 0) return { host: name, servername: '' };
  return { host: host ?? dialled ?? name, servername: name.replace(/\.$/, '') };
}
