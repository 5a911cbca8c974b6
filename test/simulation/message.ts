import { type Codec, lengthPrefixed } from 'rxjs-sockets/codecs';

/** The sender of a message: a client, a client on one connection only, a server's connection, or the Broadcast. */
export type Kind = 'client' | 'own' | 'server' | 'broadcast';

const kinds: readonly Kind[] = ['client', 'own', 'server', 'broadcast'];

/** The origin and the number of a message, which together identify the message. */
export interface Message {
  readonly kind: Kind;
  /** The number of the client, or of the server's connection. */
  readonly source: number;
  /** The number of the message, counted from 0 for each source. */
  readonly number: number;
  /** The length of the message's frame, in bytes. */
  readonly size: number;
}

/** A message that is created when it is encoded, so its number shows the order of encoding. */
export interface Draft {
  make(): Buffer;
  /** Whether the message was created but not yet written. */
  readonly waits: boolean;
}

const header = 9;
const frames = lengthPrefixed();

/** The codec of all channels. */
export const codec: Codec<Buffer, Buffer | Draft> = {
  decoder: () => frames.decoder(),
  encoder: () => {
    const encoder = frames.encoder();
    return {
      encode(value, into) {
        encoder.encode(Buffer.isBuffer(value) ? value : value.make(), into);
      },
    };
  },
};

export function encodeMessage(kind: Kind, source: number, number: number, padding: number): Buffer {
  const bytes = Buffer.allocUnsafe(header + padding);
  paddingOf(number, padding).copy(bytes, header);
  bytes.writeUInt8(kinds.indexOf(kind), 0);
  bytes.writeUInt32BE(source, 1);
  bytes.writeUInt32BE(number, 5);
  return bytes;
}

/** The sender of the message in `frame`, or `undefined` if `frame` is too short to show the sender. */
export function kindOf(frame: Buffer): Kind | undefined {
  return frame.length > 4 ? kinds[frame.readUInt8(4)] : undefined;
}

export function decodeMessage(bytes: Buffer): Message {
  const kind = kinds[bytes.readUInt8(0)];
  if (kind === undefined || bytes.length < header) throw new Error(`no message: ${bytes.toString('hex', 0, 20)}`);
  const number = bytes.readUInt32BE(5);
  if (!bytes.subarray(header).equals(paddingOf(number, bytes.length - header))) {
    throw new Error(`${kind} message ${number} is damaged`);
  }
  return { kind, source: bytes.readUInt32BE(1), number, size: bytes.length + 4 };
}

const paddings: readonly Buffer[] = [1, 2, 3, 4, 5, 6, 7].map((byte) => Buffer.alloc(100_000, byte));

function paddingOf(number: number, size: number): Buffer {
  return paddings[number % paddings.length]!.subarray(0, size);
}

export function shownMessage({ kind, source, number }: Message): string {
  return `message ${number} of ${kind} ${source}`;
}
