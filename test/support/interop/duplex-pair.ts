import { Duplex } from 'node:stream';
import { onTestFinished } from 'vitest';

/** One end of an in-memory pipe made only of Node's streams. */
class End extends Duplex {
  other: End | undefined;
  /** Called when the other end has room for more bytes. */
  private proceed: (() => void) | undefined;

  override _read(): void {
    const proceed = this.other?.proceed;
    if (this.other !== undefined) this.other.proceed = undefined;
    proceed?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    // The written bytes are copied, as a pipe does.
    if (this.other?.push(Buffer.from(chunk)) === true) done();
    else this.proceed = done;
  }

  override _final(done: (error?: Error | null) => void): void {
    this.other?.push(null);
    done();
  }
}

/** Two connected streams, like `duplexPair` of Node 22. They are destroyed at the end of the test. */
export function duplexPair(): [near: Duplex, far: Duplex] {
  const [near, far] = [new End(), new End()];
  near.other = far;
  far.other = near;
  onTestFinished(() => {
    for (const end of [near, far]) end.on('error', () => undefined).destroy();
  });
  return [near, far];
}
