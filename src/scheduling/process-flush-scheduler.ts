import { FlushScheduler } from './flush-scheduler.js';

let deferred: (() => void)[] = [];

let isWatching = false;

/**
 * Offers all buffered values to the kernel when the process exits (C24). If the process exited without this step, these
 * values would be lost, because `process.exit` does not run deferred work.
 */
export function flushAtExit(): void {
  if (isWatching) return;
  isWatching = true;
  process.on('exit', () => {
    processFlushScheduler.flushNow();
  });
}

/** The scheduler that all of Node's sockets share. */
export const processFlushScheduler: FlushScheduler = new FlushScheduler(
  (work) => {
    if (deferred.push(work) === 1) process.nextTick(runDeferred);
  },
  (work) => {
    setImmediate(work);
  },
);

/** Runs the deferred work at the end of the turn, after the promise and `nextTick` callbacks of that turn. */
function runDeferred(): void {
  const works = deferred;
  deferred = [];
  queueMicrotask(() => {
    for (const work of works) process.nextTick(work);
  });
}
