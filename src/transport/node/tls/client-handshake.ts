import net from 'node:net';
import type tls from 'node:tls';
import type { Address } from '../../../address/address.js';
import type { ClientTls } from '../../tls.js';
import { nodeTls } from '../../lazy-builtins.js';
import type { HandshakeEvents } from './handshake.js';
import { handshakeError } from './tls-errors.js';

/**
 * Shakes hands over a connected socket, as a client. The caller limits the time, by destroying `raw`.
 *
 * @param dialled - the address whose host the certificate has to be for
 * @param action - what is being done, for the message of an error
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
      // Node takes an option that is undefined for one that is given.
      ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)),
      ...namesFor(options, dialled),
      // Set explicitly, so that no environment variable decides it.
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

/** The name to ask for (SNI), and the one that the certificate has to be for. An IP address is never asked for (RFC 6066). */
function namesFor({ servername, host }: ClientTls, address: Address): { servername?: string; host?: string } {
  const dialled = address.transport === 'tcp' ? address.host : undefined;
  const name = servername ?? host ?? dialled;
  if (name === undefined) return {};
  if (net.isIP(name) !== 0) return { host: name, servername: '' };
  return { host: host ?? dialled ?? name, servername: name.replace(/\.$/, '') };
}
