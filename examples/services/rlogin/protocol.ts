/**
 * The protocol of RFC 1282: four fields, one byte that accepts them, and window sizes among the keys.
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

/** The fields at the beginning of a session: each ends with a NUL, and the first is empty. */
export const fields = delimited('\0', { maxLength: 64 });

/** The byte with which the server accepts the fields. */
export const accepted = 0;

/** The first byte of a refusal; the reason follows as a line of text. */
export const refused = 1;

/** The urgent byte with which the server asks for the window size. */
export const sizeWanted = 0x80;

/** The rows and columns of the client's window. */
export interface WindowSize {
  readonly rows: number;
  readonly columns: number;
}

// #region window-size
/** The beginning of a window-size message, which is 12 bytes long. */
const magic = Buffer.from([0xff, 0xff, 0x73, 0x73]);

/** Makes the message that sends a window size to the server. */
export function windowSize({ rows, columns }: WindowSize): Buffer {
  const message = Buffer.alloc(12);
  magic.copy(message);
  message.writeUInt16BE(rows, 4);
  message.writeUInt16BE(columns, 6); // the size in pixels follows, and stays 0 because it is unknown
  return message;
}

/**
 * The input of a server's session: keys as they arrive, and window sizes.
 *
 * Only a window size begins with the bytes FF FF 's' 's'. So an FF is kept until the byte after it arrives. UTF-8 has
 * no byte FF, so only a client with a different encoding can notice this.
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
