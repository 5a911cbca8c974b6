import type { Codec } from '../codecs/codec.js';

/** The options of all connections of one `listen` or `connect`, checked and with the defaults filled in. */
export interface ConnectionSettings<In, Out> {
  readonly codec: Codec<In, Out>;
  readonly highWaterMark: number;
  readonly maxBuffered: number;
  readonly overflow: 'error' | 'drop';
  readonly idleTimeout: number;
  readonly receiveTimeout: number;
  readonly halfOpen: boolean;
  /** Whether the user has set `halfOpen` to false: then a Node stream, too, ends after the peer's FIN (I2). */
  readonly endsStreams: true | undefined;
  readonly halfOpenTimeout: number;
  readonly closeTimeout: number;
  readonly claimTimeout: number;
  readonly noDelay: boolean;
  readonly keepAlive: number;
  readonly signal: AbortSignal | undefined;
  readonly handshakeTimeout: number;
}
