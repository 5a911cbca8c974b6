import type net from 'node:net';
import type tls from 'node:tls';
import { AcceptGate, type Gate, type ListeningHandle, openGate } from './accept-gate.js';
import { neverTruncated, type TlsStreamEnd, watchTlsEnd } from './close-notify.js';
import { descriptorOf } from './descriptor.js';
import { type DirectRead, onreadSymbols } from './direct-read.js';
import { hiddenReset } from './hidden-reset.js';
import { streamHandles } from './handle-self-test.js';
import type { StreamHandles } from './stream-handle.js';
import { asyncContext, parentProperty, type TlsParents } from './tls-parent.js';
import { unsentBytes } from './unsent-bytes.js';

/**
 * The Node internals that the transport uses because no public API does the same. Each internal has its own file in
 * this folder, with a comment that explains the internal.
 */
export interface NodeInternals {
  /** Call before the server listens. */
  acceptGate(server: net.Server, onBound: (handle: ListeningHandle) => void): Gate;
  readonly directRead: DirectRead | undefined;
  descriptorOf(socket: net.Socket): number | undefined;
  unsentBytes(socket: net.Socket): number | undefined;
  hiddenReset(socket: net.Socket): Error | undefined;
  watchTlsEnd(socket: tls.TLSSocket): TlsStreamEnd;
  readonly tlsParents: TlsParents;
  /** Resolves with what is needed to use the handles of accepted connections; with undefined if they do not work. */
  streamHandles(): Promise<StreamHandles | undefined>;
}

export const nodeInternals: NodeInternals = {
  acceptGate: (server, onBound) => new AcceptGate(server, onBound),
  directRead: onreadSymbols,
  descriptorOf,
  unsentBytes,
  hiddenReset,
  watchTlsEnd,
  tlsParents: parentProperty,
  streamHandles,
};

export const publicApiOnly: NodeInternals = {
  acceptGate: () => openGate,
  directRead: undefined,
  descriptorOf: () => undefined,
  unsentBytes: () => undefined,
  hiddenReset: () => undefined,
  watchTlsEnd: () => neverTruncated,
  tlsParents: asyncContext,
  streamHandles: () => Promise.resolve(undefined),
};
