/**
 * The protocol of RFC 1282: four fields, one byte that accepts the fields, and window sizes among the typed keys.
 *
 *     client                                             server
 *       NUL  local user NUL  user NUL  terminal/speed NUL  ->
 *       <-                                            NUL   the session begins
 *       <-                       0x80, as TCP urgent data   "send your window size"
 *       FF FF 's' 's'  rows columns x y  (16 bits each)    ->   now, and whenever it changes
 *       keys                                               ->
 *       <-                                         output
 */
import { type Codec, delimited } from 'rxjs-sockets/codecs';

/** Each of the four fields at the beginning of a session ends with a NUL. The first field is empty. */
export const fields = delimited('\0', { maxLength: 64 });

/** The server sends this byte to accept the fields. */
export const accepted = 0;

/** The server sends this byte to refuse the fields. A line of text with the reason follows. */
export const refused = 1;

/** The server sends this byte as urgent data to ask for the window size. */
export const sizeWanted = 0x80;

export interface WindowSize {
  readonly rows: number;
  readonly columns: number;
}

// #region window-size
/** The beginning of a message with the window size. The message is 12 bytes long. */
const magic = Buffer.from([0xff, 0xff, 0x73, 0x73]);

export function windowSize({ rows, columns }: WindowSize): Buffer {
  const message = Buffer.alloc(12);
  magic.copy(message);
  message.writeUInt16BE(rows, 4);
  message.writeUInt16BE(columns, 6); // the size in pixels follows, and stays 0
  return message;
}

/**
 * Decodes the input of a server's session: typed keys as they arrive, and window sizes.
 *
 * A byte FF may be the beginning of a window size, so the decoder keeps an FF until the next byte arrives. In UTF-8,
 * text has no FF, so only a client with a different encoding can notice the delay.
 */
export const keysAndSizes: Codec<Buffer | WindowSize, never> = {
  decoder: () => ({
    decode(bytes) {
      if (bytes.length === 0) return undefined;
      const start = bytes.peek(Math.min(bytes.length, magic.length));
      if (!start.equals(magic.subarray(0, start.length))) {
        const next = bytes.indexOf(magic[0]!, 1);
        return bytes.take(next === -1 ? bytes.length : next);
      }
      if (bytes.length < 12) return undefined;
      const message = bytes.take(12);
      return { rows: message.readUInt16BE(4), columns: message.readUInt16BE(6) };
    },
    end: (bytes) => (bytes.length === 0 ? undefined : bytes.take(bytes.length)),
  }),
  encoder: () => ({
    encode() {
      throw new Error('a server sends bytes');
    },
  }),
};
// #endregion
