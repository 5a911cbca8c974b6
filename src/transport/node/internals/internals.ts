import type net from 'node:net';
import type tls from 'node:tls';
import { AcceptGate, type Gate, openGate } from './accept-gate.js';
import { neverTruncated, type TlsStreamEnd, watchTlsEnd } from './close-notify.js';
import { descriptorOf } from './descriptor.js';
import { type DirectRead, onreadSymbols } from './direct-read.js';
import { hiddenReset } from './hidden-reset.js';
import { asyncContext, parentProperty, type TlsParents } from './tls-parent.js';
import { unsentBytes } from './unsent-bytes.js';

/**
 * What the transport takes from Node's inside, where there is no public API. Each hook has a file of its own in this folder;
 * its head comment says what it is for, where Node has it, how it is tried out, and what happens without it.
 */
export interface NodeInternals {
  /** Makes the gate of a server that does not listen yet. */
  acceptGate(server: net.Server): Gate;
  readonly directRead: DirectRead | undefined;
  descriptorOf(socket: net.Socket): number | undefined;
  unsentBytes(socket: net.Socket): number | undefined;
  hiddenReset(socket: net.Socket): Error | undefined;
  watchTlsEnd(socket: tls.TLSSocket): TlsStreamEnd;
  readonly tlsParents: TlsParents;
}

/** Uses Node's inside, each hook where it works. */
export const nodeInternals: NodeInternals = {
  acceptGate: (server) => new AcceptGate(server),
  directRead: onreadSymbols,
  descriptorOf,
  unsentBytes,
  hiddenReset,
  watchTlsEnd,
  tlsParents: parentProperty,
};

/** Uses the public API alone. */
export const publicApiOnly: NodeInternals = {
  acceptGate: () => openGate,
  directRead: undefined,
  descriptorOf: () => undefined,
  unsentBytes: () => undefined,
  hiddenReset: () => undefined,
  watchTlsEnd: () => neverTruncated,
  tlsParents: asyncContext,
};
