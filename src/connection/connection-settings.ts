import type { Codec } from '../codecs/codec.js';

/** What every connection of one `listen` or `connect` goes by: checked, and with the defaults filled in. */
export interface ConnectionSettings<In, Out> {
  readonly codec: Codec<In, Out>;
  readonly highWaterMark: number;
  readonly maxBuffered: number;
  readonly overflow: 'error' | 'drop';
  readonly idleTimeout: number;
  readonly receiveTimeout: number;
  readonly halfOpen: boolean;
  /** Whether `halfOpen` is given as false: then a stream ends itself after the peer's FIN, too (I2). */
  readonly endsStreams: true | undefined;
  readonly halfOpenTimeout: number;
  readonly closeTimeout: number;
  readonly claimTimeout: number;
  readonly noDelay: boolean;
  readonly keepAlive: number;
  readonly signal: AbortSignal | undefined;
  readonly handshakeTimeout: number;
}
