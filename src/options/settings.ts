import type { RetryConfig } from 'rxjs';
import { ipFamily } from '../address-parsing/ip.js';
import type { Codec } from '../codecs/codec.js';
import { bytes } from '../codecs/raw-bytes.js';
import type { ConnectionSettings } from '../connection/connection-settings.js';
import { SocketError } from '../errors/socket-error.js';
import { trustedPeers } from '../proxy-protocol/trusted-peers.js';
import type { Backoff } from '../reconnect/backoff.js';
import type { Transport } from '../transport/transport.js';
import {
  callback,
  count,
  duration,
  flag,
  hasMethods,
  invalid,
  object,
  oneOf,
  port,
  size,
} from '../validation/validate.js';
import { signal } from './abort-signal.js';
import type { ConnectOptions, ConnectSettings } from './connect-options.js';
import type { ConnectionOptions } from './connection-options.js';
import type { ListenOptions, ListenSettings } from './listen-options.js';

/** Every option there is: what `listen` and `connect` share is often kept in one object, with what only one of them has. */
const names: ReadonlySet<string> = new Set<keyof ListenOptions | keyof ConnectOptions>([
  'codec',
  'highWaterMark',
  'maxBuffered',
  'overflow',
  'idleTimeout',
  'receiveTimeout',
  'halfOpen',
  'halfOpenTimeout',
  'closeTimeout',
  'claimTimeout',
  'noDelay',
  'keepAlive',
  'transport',
  'signal',
  'backlog',
  'acceptQueue',
  'maxConnections',
  'mode',
  'stale',
  'reusePort',
  'tls',
  'proxyProtocol',
  'handshakeTimeout',
  'connectTimeout',
  'localAddress',
  'localPort',
  'family',
  'reconnect',
  'whileDisconnected',
  'prepare',
]);

/** Checks the options of `listen` and fills in the defaults (A5). */
export function listenSettings<In, Out>(options: ListenOptions<In, Out>): ListenSettings<In, Out> {
  object('options', options);
  assertKnown(options);
  return {
    ...connectionSettings(options, true),
    backlog: count('backlog', options.backlog, 4_096),
    acceptQueue: count('acceptQueue', options.acceptQueue, 128),
    maxConnections: count('maxConnections', options.maxConnections, 10_000),
    mode: mode(options.mode),
    stale: oneOf('stale', options.stale, ['replace', 'fail']),
    reusePort: flag('reusePort', options.reusePort, false),
    tls: typeof options.tls === 'function' ? options.tls : object('tls', options.tls),
    proxyProtocol: proxyProtocol(options.proxyProtocol),
  };
}

/** Checks the options of `connect` and fills in the defaults (A5). */
export function connectSettings<In, Out>(options: ConnectOptions<In, Out>): ConnectSettings<In, Out> {
  object('options', options);
  assertKnown(options);
  return {
    ...connectionSettings(options, false),
    connectTimeout: duration('connectTimeout', options.connectTimeout, 10_000),
    localAddress: localAddress(options.localAddress, options.family),
    localPort: port('localPort', options.localPort),
    family: family(options.family),
    tls: object('tls', options.tls),
    reconnect: reconnect(options.reconnect),
    whileDisconnected: oneOf('whileDisconnected', options.whileDisconnected, ['buffer', 'drop', 'error']),
    prepare: callback('prepare', options.prepare),
  };
}

/** Checks the options of `pull`, and gives how many values a batch has at most (A5). */
export function batchSize(options: { readonly batch: number }): number {
  const { batch, ...others } = object('options', options) as { readonly batch: number };
  for (const [name, value] of Object.entries(others)) {
    if (value !== undefined) throw new SocketError('ERR_OPTION_INVALID', `${name} is no option of pull`);
  }
  // Without it, whoever reads would get values where batches were asked for.
  if (batch === undefined) throw invalid('batch', batch, 'a whole number from 1 to under 2^31');
  return count('batch', batch, 1);
}

/** Checks the option `transport`. */
export function transportOf(options: { readonly transport?: Transport | undefined }, otherwise: Transport): Transport {
  const transport: unknown = options.transport;
  if (transport === undefined) return otherwise;
  if (!hasMethods(transport, 'checkListen', 'checkConnect', 'listen', 'connect'))
    throw invalid('transport', transport, 'a transport');
  return transport as Transport;
}

function connectionSettings<In, Out>(
  options: ConnectionOptions<In, Out>,
  halfOpen: boolean,
): ConnectionSettings<In, Out> {
  const maxBuffered = size('maxBuffered', options.maxBuffered, 1_048_576);
  return {
    codec: codec(options.codec),
    maxBuffered,
    // What has to wait for `writable` would otherwise run into `maxBuffered` before it is ever told to wait.
    highWaterMark: Math.min(size('highWaterMark', options.highWaterMark, 65_536), maxBuffered),
    overflow: oneOf('overflow', options.overflow, ['error', 'drop']),
    idleTimeout: duration('idleTimeout', options.idleTimeout, 0),
    receiveTimeout: duration('receiveTimeout', options.receiveTimeout, 0),
    halfOpen: flag('halfOpen', options.halfOpen, halfOpen),
    endsStreams: options.halfOpen === false ? true : undefined,
    halfOpenTimeout: duration('halfOpenTimeout', options.halfOpenTimeout, 60_000),
    closeTimeout: duration('closeTimeout', options.closeTimeout, 5_000),
    claimTimeout: duration('claimTimeout', options.claimTimeout, 30_000),
    noDelay: flag('noDelay', options.noDelay, true),
    keepAlive: duration('keepAlive', options.keepAlive, 60_000),
    signal: signal(options.signal),
    handshakeTimeout: duration('handshakeTimeout', options.handshakeTimeout, 10_000),
  };
}

function codec<In, Out>(value: Codec<In, Out> | undefined): Codec<In, Out> {
  if (value === undefined) return bytes as unknown as Codec<In, Out>;
  if (!hasMethods(value, 'decoder', 'encoder')) throw invalid('codec', value, 'a codec');
  return value;
}

function proxyProtocol(
  value: { readonly trusted: readonly string[] } | undefined,
): { readonly trusted: readonly string[] } | undefined {
  if (object('proxyProtocol', value) === undefined) return undefined;
  const { trusted, ...others } = value as { readonly trusted: readonly string[] };
  const other = Object.keys(others).find((name) => (others as Record<string, unknown>)[name] !== undefined);
  if (other !== undefined) throw new SocketError('ERR_OPTION_INVALID', `proxyProtocol.${other} is no option`);
  trustedPeers(trusted);
  return { trusted: [...trusted] };
}

function reconnect(value: RetryConfig | undefined): RetryConfig | undefined {
  if (object('reconnect', value) === undefined) return undefined;
  const { count = Infinity, delay, resetOnSuccess, stableAfter } = value as RetryConfig & Partial<Backoff>;
  if (count !== Infinity && (!Number.isSafeInteger(count) || count < 0)) {
    throw invalid('reconnect.count', count, 'a whole number from 0, or Infinity');
  }
  if (typeof delay !== 'function') duration('reconnect.delay', delay, 0);
  flag('reconnect.resetOnSuccess', resetOnSuccess, false);
  duration('reconnect.stableAfter', stableAfter, 0);
  return value;
}

function localAddress(value: string | undefined, wanted: 4 | 6 | undefined): string | undefined {
  if (value === undefined) return undefined;
  const found = typeof value === 'string' ? ipFamily(value) : undefined;
  if (found === undefined) throw invalid('localAddress', value, 'an IP address');
  if (found !== (family(wanted) ?? found))
    throw invalid('localAddress', value, `an IPv${wanted} address, as family says`);
  return value;
}

function family(value: 4 | 6 | undefined): 4 | 6 | undefined {
  if (value === undefined || value === 4 || value === 6) return value;
  throw invalid('family', value, '4 or 6');
}

function mode(value: number | undefined): number {
  if (value === undefined) return 0o600;
  if (!Number.isInteger(value) || value < 0 || value > 0o777)
    throw invalid('mode', value, 'permissions from 0o000 to 0o777');
  return value;
}

/** An option that is passed over in silence may be the one that was to make it safe. */
function assertKnown(options: object): void {
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined && !names.has(name)) {
      throw new SocketError('ERR_OPTION_INVALID', `${name} is no option in this version`);
    }
  }
}
