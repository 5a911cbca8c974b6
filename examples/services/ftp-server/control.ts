/** Decodes the client's commands from the control connection, and formats the server's replies. */
import { isUtf8 } from 'node:buffer';
import { type Channel, SocketError } from 'rxjs-sockets';
import { type ByteQueue, type Codec, type Decoder, lines } from 'rxjs-sockets/codecs';

/** One line from a client, such as `RETR notes.txt`. */
export interface Command {
  /** The word before the first space of the line, in capitals. */
  readonly verb: string;
  /**
   * The text after the first space of the line, with all further spaces, because a name may begin and end with spaces.
   * If the text is not UTF-8, `argument` is undefined.
   */
  readonly argument: string | undefined;
}

const longest = 8_192; // bytes; a path has at most 4,096
const newline = 0x0a;
const carriageReturn = 0x0d;
const interpretAsCommand = 0xff; // Telnet's IAC

// #region codec
export const control: Codec<Command, string> = {
  decoder: () => new CommandDecoder(),
  encoder: () => lines({ delimiter: '\r\n' }).encoder(),
};
// #endregion

/**
 * Decodes lines that end with CR LF or LF.
 *
 * Some clients send ABOR as urgent data, and the urgent byte never arrives. If the urgent byte is the LF, the line does
 * not end, and the client waits in vain for the reply. So `ABOR` and a CR count as a complete line.
 */
class CommandDecoder implements Decoder<Command> {
  /** Whether the previous line ended with a CR. An LF that follows then belongs to the previous line. */
  private isAfterReturn = false;

  decode(bytes: ByteQueue): Command | undefined {
    for (;;) {
      if (this.isAfterReturn && bytes.length > 0) {
        this.isAfterReturn = false;
        if (bytes.at(0) === newline) bytes.skip(1);
      }
      const end = bytes.indexOf(newline);
      if ((end === -1 ? bytes.length : end) > longest + 1) {
        throw new SocketError('ERR_FRAME_TOO_LONG', `a command is longer than ${longest} bytes`);
      }
      if (end === -1) return this.takeAbort(bytes);
      const line = bytes.take(end + 1);
      const stop = line[end - 1] === carriageReturn ? end - 1 : end;
      if (stop > 0) return parse(line.subarray(0, stop));
    }
  }

  private takeAbort(bytes: ByteQueue): Command | undefined {
    const last = bytes.length - 1;
    if (last < 4 || bytes.at(last) !== carriageReturn || !isAbort(bytes.peek(last))) return undefined;
    bytes.skip(last + 1);
    this.isAfterReturn = true;
    return { verb: 'ABOR', argument: '' };
  }
}

function parse(line: Buffer): Command {
  if (isAbort(line)) return { verb: 'ABOR', argument: '' };
  const bytes = withoutTelnet(line);
  const space = bytes.indexOf(' ');
  const verb = bytes.toString('latin1', 0, space === -1 ? bytes.length : space).toUpperCase();
  const argument = space === -1 ? Buffer.alloc(0) : bytes.subarray(space + 1);
  return { verb, argument: isUtf8(argument) ? argument.toString() : undefined };
}

/**
 * Whether a line is ABOR, with or without Telnet's IAC, IP and DM before the ABOR. If the client sent one of these
 * bytes as urgent data, that byte is missing.
 */
function isAbort(line: Buffer): boolean {
  return line.length <= 16 && /^[\xf0-\xff]*ABOR$/i.test(line.toString('latin1'));
}

/**
 * Removes Telnet commands from a line. A Telnet command has two bytes, or three bytes if the command negotiates an
 * option. A doubled IAC stands for one byte of text.
 */
function withoutTelnet(line: Buffer): Buffer {
  if (!line.includes(interpretAsCommand)) return line;
  const text: number[] = [];
  for (let at = 0; at < line.length; at++) {
    const byte = line[at]!;
    if (byte !== interpretAsCommand) {
      text.push(byte);
      continue;
    }
    const command = line[++at] ?? 0;
    if (command === interpretAsCommand) text.push(command);
    else if (command >= 0xfb && command <= 0xfe) at++;
  }
  return Buffer.from(text);
}

/** The commands of one client. `peek` returns the next command, and `take` returns and removes the next command. */
export class Commands {
  /**
   * Whether there is no more input: the client has ended its side, a shutdown has ended the input, or reading has
   * failed.
   */
  hasEnded = false;
  private readonly source: AsyncIterator<Command, undefined>;
  private next: Promise<Command | undefined> | undefined;

  constructor(data: Channel<Command, string>) {
    this.source = data[Symbol.asyncIterator]() as AsyncIterator<Command, undefined>;
  }

  /** Returns the next command without removing it. Returns undefined after the last command. */
  peek(): Promise<Command | undefined> {
    if (this.next === undefined) {
      this.next = this.read();
      // If reading fails before `take` is called, this handler prevents an unhandled rejection.
      this.next.catch(() => undefined);
    }
    return this.next;
  }

  /**
   * Takes the next command, and reads nothing after that command. After AUTH, the next bytes are TLS and not plain
   * text.
   */
  async take(): Promise<Command | undefined> {
    const command = await this.peek();
    if (!this.hasEnded) this.next = undefined;
    return command;
  }

  private async read(): Promise<Command | undefined> {
    let isOver = true;
    try {
      const { value, done } = await this.source.next();
      isOver = done === true;
      return value;
    } finally {
      this.hasEnded = isOver;
    }
  }
}

/** Returns the lines of a reply: one line (`226 Done`), or several lines (`211-First`, ` second`, `211 Last`). */
export function replyLines(code: number, first: string, ...others: readonly string[]): readonly string[] {
  const last = others.at(-1);
  if (last === undefined) return [`${code} ${first}`];
  return [`${code}-${first}`, ...others.slice(0, -1).map((line) => ` ${line}`), `${code} ${last}`];
}

/** Thrown if a command cannot be executed. The client gets the code and the message of this error as the reply. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}
