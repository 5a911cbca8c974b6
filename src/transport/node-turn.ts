import { Turn } from '../io/turn.js';

let deferred: (() => void)[] = [];

/** The turns of all of Node's sockets. */
export const nodeTurn: Turn = new Turn(
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
