import { TestScheduler } from 'rxjs/testing';
import { expect } from 'vitest';

/** Runs `test` in virtual time, which RxJS's schedulers and the memory transport follow. */
export function virtually(test: (scheduler: TestScheduler) => void): void {
  const scheduler = new TestScheduler((actual, expected) => expect(actual).toEqual(expected));
  scheduler.run(() => test(scheduler));
}
