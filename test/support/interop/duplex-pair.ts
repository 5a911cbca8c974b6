import { Duplex } from 'node:stream';
import { onTestFinished } from 'vitest';

/** One end of a pipe in memory that is made of nothing but Node's streams. */
class End extends Duplex {
  other: End | undefined;
  /** Called when the other end has room for more. */
  private proceed: (() => void) | undefined;

  override _read(): void {
    const proceed = this.other?.proceed;
    if (this.other !== undefined) this.other.proceed = undefined;
    proceed?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    // As a pipe does: what is written is copied.
    if (this.other?.push(Buffer.from(chunk)) === true) done();
    else this.proceed = done;
  }

  override _final(done: (error?: Error | null) => void): void {
    this.other?.push(null);
    done();
  }
}

/** Two streams that are connected to each other, as Node 22's `duplexPair` makes them; destroyed at the end of the test. */
export function duplexPair(): [near: Duplex, far: Duplex] {
  const [near, far] = [new End(), new End()];
  near.other = far;
  far.other = near;
  onTestFinished(() => {
    for (const end of [near, far]) end.on('error', () => undefined).destroy();
  });
  return [near, far];
}
