/**
 * Numbers the runs of code. A run ends with the next tick or microtask, whichever comes first: an error that follows in
 * another tick or in a promise belongs to another run.
 */
let run = 0;
let isRunning = false;

/** Returns the number of the run of the code that runs now. */
export function currentRun(): number {
  if (isRunning) return run;
  isRunning = true;
  process.nextTick(endRun);
  queueMicrotask(endRun);
  return ++run;
}

/** Whether the run with this number still goes on. */
export function isCurrentRun(number: number): boolean {
  return isRunning && number === run;
}

function endRun(): void {
  isRunning = false;
}
