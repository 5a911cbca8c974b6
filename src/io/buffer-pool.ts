import { SendBuffer, type Target } from './send-buffer.js';

// Send buffers, handed from connection to connection like the slabs within them: an idle connection owns none.
const free: SendBuffer[] = [];
const kept = 16;

/** Stands for one where nothing waits; nothing is ever added to it. */
export const unusedBuffer: SendBuffer = new SendBuffer();

/** Gives `buffer`, or an empty one instead of {@link unusedBuffer}. */
export function ownBuffer(buffer: SendBuffer): SendBuffer {
  return buffer === unusedBuffer ? (free.pop() ?? new SendBuffer()) : buffer;
}

/** Has `buffer` written, and takes it back. Gives what the target's write gave. */
export function spendBuffer(buffer: SendBuffer, target: Target): boolean {
  const taken = buffer.writeTo(target);
  if (free.length < kept) free.push(buffer);
  return taken;
}
