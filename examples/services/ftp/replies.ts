/** The control connection as a client sees it: it sends lines, and gets replies of one line or of several. */
import { SocketError } from 'rxjs-sockets';
import { type ByteQueue, type Codec, type Decoder, lines } from 'rxjs-sockets/codecs';

/** A reply such as `226 Transfer complete`. */
export interface Reply {
  readonly code: number;
  /** Its lines, without the code. */
  readonly lines: readonly string[];
}

const longest = 65_536; // characters of one reply

// #region codec
/** Decodes replies, and encodes commands. */
export const replies: Codec<Reply, string> = {
  decoder: () => new ReplyDecoder(),
  encoder: () => lines({ delimiter: '\r\n' }).encoder(),
};

/** Joins the lines of a reply: `211-First`, any others, and `211 Last`. */
class ReplyDecoder implements Decoder<Reply> {
  private readonly lines = lines({ encoding: 'latin1', maxLength: longest }).decoder();
  private unfinished: string[] = [];
  private length = 0;

  decode(bytes: ByteQueue): Reply | undefined {
    for (let line = this.lines.decode(bytes); line !== undefined; line = this.lines.decode(bytes)) {
      this.unfinished.push(textOf(line));
      const code = /^\d{3}(?=[ -]|$)/.exec(this.unfinished[0]!)?.[0];
      if (code === undefined) throw new SocketError('ERR_FRAME_INVALID', 'what comes is no reply of an FTP server');
      this.length += line.length;
      if (this.length > longest) throw new SocketError('ERR_FRAME_TOO_LONG', 'a reply of the server is too long');
      const isFirst = this.unfinished.length === 1;
      if (isFirst ? line[3] === '-' : !line.startsWith(`${code} `)) continue;
      const reply = { code: Number(code), lines: this.unfinished.map((text) => withoutCode(text, code)) };
      this.unfinished = [];
      this.length = 0;
      return reply;
    }
    return undefined;
  }

  end(): undefined {
    if (this.unfinished.length > 0) throw new SocketError('ERR_FRAME_TRUNCATED', 'the stream ends inside a reply');
  }
}
// #endregion

function withoutCode(line: string, code: string): string {
  return line.startsWith(code) ? line.slice(4) : line.trim();
}

// eslint-disable-next-line no-control-regex -- these are what a terminal obeys
const controls = /[\0-\x1f\x7f-\x9f]/g;

/** The text of a line that was decoded byte by byte: UTF-8 as far as it is, and nothing that a terminal obeys. */
export function textOf(line: string): string {
  return Buffer.from(line, 'latin1').toString('utf8').replace(controls, '?');
}
