import { WriteBuffer, type Target } from './write-buffer.js';

// Send buffers, handed from connection to connection like the slabs within them: an idle connection owns none.
const free: WriteBuffer[] = [];
const kept = 16;

/** Stands for one where nothing waits; nothing is ever added to it. */
export const unusedBuffer: WriteBuffer = new WriteBuffer();

/** Gives `buffer`, or an empty one instead of {@link unusedBuffer}. */
export function ownBuffer(buffer: WriteBuffer): WriteBuffer {
  return buffer === unusedBuffer ? (free.pop() ?? new WriteBuffer()) : buffer;
}

/** Has `buffer` written, and takes it back. Gives what the target's write gave. */
export function spendBuffer(buffer: WriteBuffer, target: Target): boolean {
  const taken = buffer.writeTo(target);
  if (free.length < kept) free.push(buffer);
  return taken;
}
