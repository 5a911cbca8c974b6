import type { Codec } from '../codecs/codec.js';

/** The options that `listen` and `connect` share, checked and with the defaults filled in. */
export interface ConnectionSettings<In, Out> {
  readonly codec: Codec<In, Out>;
  readonly highWaterMark: number;
  readonly maxBuffered: number;
  readonly overflow: 'error' | 'drop';
  readonly idleTimeout: number;
  readonly receiveTimeout: number;
  readonly halfOpen: boolean;
  /**
   * Whether a Node stream ends its sending side after the peer's FIN. True only if the user set `halfOpen: false` (I2).
   */
  readonly endsNodeStreamsAfterPeer: boolean;
  readonly halfOpenTimeout: number;
  readonly closeTimeout: number;
  readonly claimTimeout: number;
  readonly noDelay: boolean;
  readonly keepAlive: number;
  readonly signal: AbortSignal | undefined;
  readonly handshakeTimeout: number;
}
