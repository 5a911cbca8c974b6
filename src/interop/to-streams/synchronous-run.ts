/**
 * The number of the last synchronous run of code. A run ends at the next tick or microtask, whichever is first. So code
 * in a later tick or in a promise's callback belongs to a different run.
 */
let run = 0;
let isRunning = false;

/** Returns the number of the current run. */
export function currentRun(): number {
  if (isRunning) return run;
  isRunning = true;
  process.nextTick(endRun);
  queueMicrotask(endRun);
  return ++run;
}

/** Whether the run with this number has not ended. */
export function isCurrentRun(number: number): boolean {
  return isRunning && number === run;
}

function endRun(): void {
  isRunning = false;
}
