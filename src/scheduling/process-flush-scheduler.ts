import { FlushScheduler } from './flush-scheduler.js';

let deferred: (() => void)[] = [];

let isWatching = false;

/**
 * Offers what was sent to the kernel when the process exits, also in the middle of a turn: `process.exit` runs nothing
 * that was deferred (C24).
 */
export function flushAtExit(): void {
  if (isWatching) return;
  isWatching = true;
  process.on('exit', () => {
    processFlushScheduler.flushNow();
  });
}

/** The scheduler of all of Node's sockets. */
export const processFlushScheduler: FlushScheduler = new FlushScheduler(
  (work) => {
    if (deferred.push(work) === 1) process.nextTick(runDeferred);
  },
  (work) => {
    setImmediate(work);
  },
);

/** Runs behind everything that the turn has deferred, in promises or by `nextTick`: that belongs to the turn. */
function runDeferred(): void {
  const works = deferred;
  deferred = [];
  queueMicrotask(() => {
    for (const work of works) process.nextTick(work);
  });
}
