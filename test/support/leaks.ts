import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeEach, expect } from 'vitest';

/**
 * The shared leak check: import this file for its effect. After each test, and after all that the test has registered
 * to be stopped, no socket, listener or timer may be left that was not there before the file's first test.
 */
let atRest = resources();
const startInterval = globalThis.setInterval;
const stopInterval = globalThis.clearInterval;
/** RxJS's asyncScheduler, which every timer of the library runs on, works with intervals; vitest's own timers do not. */
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
  // What is registered first is run last.
  onTestFinished(async () => {
    // Closing a socket takes a few turns of the event loop. Whatever is left after so many is not being closed.
    for (let turn = 0; turn < 2_000 && left().length > 0; turn++) await nextTurn();
    const leaked = left();
    // The next test is not to be blamed for them.
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

/** What holds the event loop, apart from what vitest's own timers and messages come and go with. */
function resources(): string[] {
  const passing = ['Timeout', 'Immediate', 'TickObject', 'FSReqPromise', 'CloseReq'];
  return process.getActiveResourcesInfo().filter((resource) => !passing.includes(resource));
}
