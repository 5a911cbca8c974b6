/** Replies from an FTP server. A reply has one or more lines. */
import { SocketError } from 'rxjs-sockets';
import { type ByteQueue, type Codec, lines } from 'rxjs-sockets/codecs';

/** One reply, such as `226 Transfer complete`. */
export interface Reply {
  readonly code: number;
  /** The lines of the reply, without the code that begins a line. */
  readonly lines: readonly string[];
}

const longest = 65_536; // bytes of one reply
const newline = 0x0a;

// #region codec
/** Decodes replies, and encodes commands. */
export const replies: Codec<Reply, string> = {
  decoder: () => ({ decode: takeReply }),
  encoder: () => lines({ delimiter: '\r\n' }).encoder(),
};

/**
 * Takes one reply from the queue: one line such as `226 Done`, or several lines from `211-First` to `211 Last`. Returns
 * undefined if the reply is not complete yet.
 */
function takeReply(bytes: ByteQueue): Reply | undefined {
  const end = endOfReply(bytes);
  if ((end === -1 ? bytes.length : end) > longest) {
    throw new SocketError('ERR_FRAME_TOO_LONG', `a reply from the server is longer than ${longest} bytes`);
  }
  if (end === -1) return undefined;
  const text = bytes.take(end + 1).toString('latin1');
  const code = text.slice(0, 3);
  const all = text.split('\n').slice(0, -1);
  return { code: Number(code), lines: all.map((line) => textOf(line.replace(/\r$/, ''))).map(withoutCode(code)) };
}

/** Finds the last LF of a reply. Returns -1 if that LF has not arrived yet. */
function endOfReply(bytes: ByteQueue): number {
  const first = bytes.indexOf(newline);
  if (first === -1) return -1;
  const [, code, isLong] =
    /^(\d{3})(?:(-)|[ \r\n])/.exec(bytes.peek(Math.min(4, bytes.length)).toString('latin1')) ?? [];
  if (code === undefined) throw new SocketError('ERR_FRAME_INVALID', 'this is not a reply from an FTP server');
  if (isLong === undefined) return first;
  const last = bytes.indexOf(Buffer.from(`\n${code} `), first);
  return last === -1 ? -1 : bytes.indexOf(newline, last + 1);
}
// #endregion

function withoutCode(code: string): (line: string) => string {
  return (line) => (line.startsWith(`${code} `) || line.startsWith(`${code}-`) ? line.slice(4) : line.trim());
}

// eslint-disable-next-line no-control-regex -- these characters control a terminal
const controls = /[\0-\x1f\x7f-\x9f]/g;

/** Decodes the bytes of a line as UTF-8. Replaces bytes that are not UTF-8, and characters that control a terminal. */
export function textOf(line: string): string {
  return Buffer.from(line, 'latin1').toString('utf8').replace(controls, '?');
}
