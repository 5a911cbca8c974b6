/**
 * Identifies the last synchronous run of code. A run ends before the next `nextTick` callback or microtask, whichever
 * comes first.
 */
let run = 0;
let isRunning = false;

export function currentRun(): number {
  if (isRunning) return run;
  isRunning = true;
  process.nextTick(endRun);
  queueMicrotask(endRun);
  return ++run;
}

export function isCurrentRun(number: number): boolean {
  return isRunning && number === run;
}

function endRun(): void {
  isRunning = false;
}
