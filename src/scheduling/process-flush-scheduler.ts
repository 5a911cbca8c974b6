import { FlushScheduler } from './flush-scheduler.js';

let deferred: (() => void)[] = [];

let isWatching = false;

/**
 * Has what was sent offered to the kernel when the process exits, also where the turn has not ended: `process.exit`
 * runs nothing that was deferred (C24).
 */
export function flushAtExit(): void {
  if (isWatching) return;
  isWatching = true;
  process.on('exit', () => {
    processFlushScheduler.flushNow();
  });
}

/** The turns of all of Node's sockets. */
export const processFlushScheduler: FlushScheduler = new FlushScheduler(
  (work) => {
    if (deferred.push(work) === 1) process.nextTick(runDeferred);
  },
  (work) => {
    setImmediate(work);
  },
);

/** What a turn has deferred, in promises or by nextTick, belongs to it: this runs behind all of it. */
function runDeferred(): void {
  const works = deferred;
  deferred = [];
  queueMicrotask(() => {
    for (const work of works) process.nextTick(work);
  });
}
