import { turns } from '../scheduling/event-loop.js';

/** Reads a stream to its end. After each read, waits as many turns of the event loop as the next of `paces` says. */
export async function readSlowly<T>(readable: ReadableStream<T>, paces: readonly number[] = [0]): Promise<T[]> {
  const reader = readable.getReader();
  const values: T[] = [];
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    values.push(read.value);
    await turns(paces[values.length % paces.length]);
  }
  return values;
}

/** How a promise settles: `'done'`, or the reason of its rejection. */
export function settling(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => 'done',
    (error: unknown) => error,
  );
}
