import type { Connection } from 'rxjs-sockets';
import { onTestFinished } from 'vitest';
import { settled } from '../scheduling/event-loop.js';

export type Lines = Connection<string, string>;

/** Records unhandled errors, which would otherwise end the test process. */
export function unhandled(): unknown[] {
  const errors: unknown[] = [];
  const listener = (error: unknown): void => void errors.push(error);
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    const others = process.listeners(event as 'uncaughtException');
    process.removeAllListeners(event);
    process.on(event as 'uncaughtException', listener);
    onTestFinished(() => {
      process.removeListener(event, listener);
      for (const other of others) process.on(event as 'uncaughtException', other);
    });
  }
  return errors;
}

/** Resolves once RxJS and promises have reported all unhandled errors so far. */
export async function reported(): Promise<void> {
  await settled();
  await new Promise((resolve) => setTimeout(resolve, 1));
}

export async function consume(values: AsyncIterable<unknown>): Promise<void> {
  const heard: unknown[] = [];
  for await (const value of values) heard.push(value);
}
