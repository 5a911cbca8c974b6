import type { ConnectionState } from 'rxjs-sockets';
import { expect } from 'vitest';

const steps = [
  'connecting connected',
  'connecting disconnected',
  'connected disconnected',
  'disconnected waiting',
  'waiting connecting',
];

/** Expects that a client's state `next` may follow `last` (K2), and that the attempts are counted correctly (K5). */
export function expectFollows(
  last: Pick<ConnectionState, 'status' | 'attempt'>,
  next: Pick<ConnectionState, 'status' | 'attempt'>,
): void {
  const step = `${last.status} ${next.status}`;
  expect(steps).toContain(step);
  if (step === 'waiting connecting') expect([1, last.attempt + 1]).toContain(next.attempt);
  else expect(next.attempt).toBe(last.attempt);
}
