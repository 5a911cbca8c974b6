/**
 * **Purpose**: finds the raw socket below a TLS socket. The library hands accepted sockets to a `tls.Server` that does
 * not listen, but the events of that server carry only the TLS socket.
 *
 * **How**: `tlsSocket._parent`.
 *
 * **Versions**: all versions of the CI matrix (Node 20.19 to 26).
 *
 * **Check**: the property is tested once per process, with a TLS socket on an unconnected socket.
 *
 * **Without it**: the library uses `AsyncLocalStorage`. `AsyncLocalStorage` can find the raw socket because a TLS
 * socket emits its events in the asynchronous context in which the socket was created. Up to Node 22,
 * `AsyncLocalStorage` slows down all promises of the process.
 */
import type { AsyncLocalStorage } from 'node:async_hooks';
import net from 'node:net';
import type tls from 'node:tls';
import { nodeAsyncHooks, nodeTls } from '../../lazy-builtins.js';

export interface TlsParents {
  /** Makes `server` perform a handshake over `raw`, as if it had accepted `raw`. */
  handOver(server: tls.Server, raw: net.Socket): void;
  /** Returns the raw socket below `socket`. Call `below` from a listener for one of the server's events. */
  below(socket: tls.TLSSocket): net.Socket | undefined;
}

let hasParent: boolean | undefined;

export const parentProperty: TlsParents = {
  handOver(server, raw) {
    hasParent ??= tryParent();
    if (hasParent) server.emit('connection', raw);
    else asyncContext.handOver(server, raw);
  },
  below: (socket) => (hasParent === true ? parentOf(socket) : asyncContext.below(socket)),
};

function parentOf(socket: tls.TLSSocket): net.Socket | undefined {
  return (socket as unknown as { _parent?: net.Socket })._parent;
}

function tryParent(): boolean {
  const raw = new net.Socket();
  const secure = new (nodeTls().TLSSocket)(raw);
  const isThere = parentOf(secure) === raw;
  secure.destroy();
  raw.destroy();
  return isThere;
}

let storage: AsyncLocalStorage<{ raw: net.Socket | undefined }> | undefined;

export const asyncContext: TlsParents = {
  handOver(server, raw) {
    storage ??= new (nodeAsyncHooks().AsyncLocalStorage)();
    storage.run({ raw }, () => server.emit('connection', raw));
  },
  below() {
    const context = storage?.getStore();
    const raw = context?.raw;
    // Everything that the program starts during the event inherits this context, and would keep the socket in memory.
    // So remove the socket from the context.
    if (context !== undefined) context.raw = undefined;
    return raw;
  },
};
