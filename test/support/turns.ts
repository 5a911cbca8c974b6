import { setImmediate as nextTurn } from 'node:timers/promises';

/** Waits until `condition` holds, looking at it once each time round the event loop. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await nextTurn();
}

/**
 * Lets the event loop go round, polling every socket each time: what has not happened by then, though the bytes for it
 * are in the process or the kernel, is not going to happen. Only ever used to show that something does not.
 */
export async function turns(count = 25): Promise<void> {
  for (let turn = 0; turn < count; turn++) await nextTurn();
}
