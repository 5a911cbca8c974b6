import { ipFamily } from '../address-parsing/ip.js';
import type { ConnectionSettings } from '../connection/connection-settings.js';
import { checkOptions, invalidOption, refuseUnknown } from '../validation/checks.js';
import { connectChecks, type ConnectOptions, type ConnectSettings } from './connect-options.js';
import type { Checked } from './connection-options.js';
import { listenChecks, type ListenOptions, type ListenSettings } from './listen-options.js';

/**
 * The options of `listen` and `connect` together. A program may pass the same options object to `listen` and to
 * `connect`.
 */
const known = { ...listenChecks, ...connectChecks };

/** Checks the options of `listen` and fills in the defaults (A5). */
export function listenSettings<In, Out>(options: ListenOptions<In, Out>): ListenSettings<In, Out> {
  const settings = checkOptions(listenChecks, options);
  refuseUnknown('listen', known, options);
  return { ...settings, ...derived(settings), halfOpen: settings.halfOpen ?? true };
}

/** Checks the options of `connect` and fills in the defaults (A5). */
export function connectSettings<In, Out>(options: ConnectOptions<In, Out>): ConnectSettings<In, Out> {
  const settings = checkOptions(connectChecks, options);
  refuseUnknown('connect', known, options);
  const { localAddress, family } = settings;
  if (localAddress !== undefined && family !== undefined && ipFamily(localAddress) !== family) {
    throw invalidOption('localAddress', `an IPv${family} address because family is ${family}`, localAddress);
  }
  return { ...settings, ...derived(settings), halfOpen: settings.halfOpen ?? false };
}

function derived<In, Out>({
  highWaterMark,
  maxBuffered,
  halfOpen,
}: Checked<ConnectionSettings<In, Out>>): Pick<
  ConnectionSettings<In, Out>,
  'highWaterMark' | 'endsNodeStreamsAfterPeer'
> {
  return {
    // `writable` must turn false at `maxBuffered` at the latest. If `writable` turned false later, a sender that stops
    // only when `writable` is false could exceed `maxBuffered`.
    highWaterMark: Math.min(highWaterMark, maxBuffered),
    endsNodeStreamsAfterPeer: halfOpen === false,
  };
}
