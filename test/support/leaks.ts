import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeEach, expect } from 'vitest';

/**
 * The shared leak check. Importing this file starts the check. After each test and its cleanup, every socket, listener
 * and timer that did not exist before the file's first test must be gone.
 */
let atRest = resources();
const startInterval = globalThis.setInterval;
const stopInterval = globalThis.clearInterval;
/**
 * The running intervals. Every timer of the library is an interval, because RxJS's asyncScheduler calls `setInterval`.
 * Vitest starts no intervals.
 */
const intervals = new Set<unknown>();

globalThis.setInterval = (...args: Parameters<typeof setInterval>) => {
  const handle = startInterval(...args);
  intervals.add(handle);
  return handle;
};

globalThis.clearInterval = (handle) => {
  intervals.delete(handle);
  stopInterval(handle);
};

afterAll(() => {
  globalThis.setInterval = startInterval;
  globalThis.clearInterval = stopInterval;
});

beforeEach(({ onTestFinished }) => {
  // Hooks run in reverse order of registration.
  onTestFinished(async () => {
    // Closing a socket takes a few turns of the event loop. Anything that is left after these turns is a leak.
    for (let turn = 0; turn < 2_000 && left().length > 0; turn++) await nextTurn();
    const leaked = left();
    // The next test must not fail because of the leaks of this test.
    atRest = resources();
    intervals.clear();
    expect(leaked, 'sockets, listeners and timers that the test has left').toEqual([]);
  });
});

function left(): string[] {
  const now = resources();
  for (const resource of atRest) {
    const index = now.indexOf(resource);
    if (index !== -1) now.splice(index, 1);
  }
  return [...now, ...[...intervals].map(() => 'interval')];
}

/** Lists what keeps the event loop alive, except for vitest's own timers and messages. */
function resources(): string[] {
  const passing = ['Timeout', 'Immediate', 'TickObject', 'FSReqPromise', 'CloseReq'];
  return process.getActiveResourcesInfo().filter((resource) => !passing.includes(resource));
}
