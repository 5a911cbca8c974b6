import type { Readable } from 'node:stream';
import { Observable } from 'rxjs';
import { Recording } from './record.js';

/** The bytes that one subscriber has received so far, as one Buffer or as text. */
export class ByteRecording extends Recording<Buffer> {
  private readonly encoding: BufferEncoding;
  private joined: Buffer = Buffer.alloc(0);
  private joinedCount = 0;

  constructor(source: Observable<Buffer>, encoding: BufferEncoding) {
    super(source);
    this.encoding = encoding;
  }

  get length(): number {
    return this.values.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  get bytes(): Buffer {
    if (this.joinedCount < this.values.length) {
      this.joined = Buffer.concat([this.joined, ...this.values.slice(this.joinedCount)]);
      this.joinedCount = this.values.length;
    }
    return this.joined;
  }

  get text(): string {
    return this.bytes.toString(this.encoding);
  }

  /** Waits for the end: `'fin'`, or the code of the error. */
  async ended(): Promise<string> {
    const end = await this.end();
    return end === 'complete' ? 'fin' : end.code;
  }

  /** Waits for the end, and returns how the stream ended and everything received before the end. */
  async all(): Promise<{ readonly data: Buffer; readonly end: string }> {
    const end = await this.ended();
    return { data: this.bytes, end };
  }

  /** Waits until `length` bytes have arrived, or for the end. */
  async atLeast(length: number): Promise<void> {
    await this.watch(() => this.length >= length || this.endings.length > 0 || undefined);
  }

  /** Waits until exactly `text` has arrived. Rejects once the stream has ended or different text has arrived. */
  async equals(text: string): Promise<void> {
    await this.watch(() => {
      const received = this.text;
      if (received === text) return true;
      if (this.endings.length === 0 && text.startsWith(received)) return undefined;
      throw new Error(`received ${JSON.stringify(received)}, then ${String(this.endings[0] ?? 'more')}`);
    });
  }

  /** Waits until the text from byte `from` matches, and returns the match. Rejects if the stream ends first. */
  until(pattern: RegExp, from = 0): Promise<RegExpExecArray> {
    return this.watch(() => {
      const match = pattern.exec(this.bytes.toString(this.encoding, from));
      if (match !== null) return match;
      if (this.endings.length === 0) return undefined;
      throw new Error(`it ended without ${String(pattern)}: ${this.text.slice(-1_000)}`);
    });
  }
}

export function recordBytes(source: Observable<Buffer>, encoding: BufferEncoding = 'latin1'): ByteRecording {
  return new ByteRecording(source, encoding);
}

/** Reads a stream of Node from now on, and remembers every byte. */
export function recordStream(stream: Readable, encoding: BufferEncoding = 'latin1'): ByteRecording {
  // The listeners stay after the end, so that a later error is not uncaught.
  const bytes = new Observable<Buffer>((subscriber) => {
    stream.on('data', (chunk: Buffer) => subscriber.next(chunk));
    stream.on('end', () => subscriber.complete());
    stream.on('error', (error) => subscriber.error(error));
    stream.on('close', () => subscriber.error(Object.assign(new Error('closed without an end'), { code: 'closed' })));
  });
  return new ByteRecording(bytes, encoding);
}
