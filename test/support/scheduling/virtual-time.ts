import { TestScheduler } from 'rxjs/testing';
import { expect } from 'vitest';

/** Runs `test` in virtual time, with everything that RxJS's schedulers and the memory transport do. */
export function virtually(test: (scheduler: TestScheduler) => void): void {
  const scheduler = new TestScheduler((actual, expected) => expect(actual).toEqual(expected));
  scheduler.run(() => test(scheduler));
}
