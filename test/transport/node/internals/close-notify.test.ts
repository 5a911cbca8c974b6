import type { TLSSocket } from 'node:tls';
import { expect, it } from 'vitest';
import { watchTlsEnd } from '../../../../src/transport/node/internals/close-notify.js';

/** The code that libuv returns if reading is started while libuv already reads. */
const already = -114;

/** The part of a socket that `watchTlsEnd` uses. Each start of reading below TLS returns the next code of `answers`. */
function socketWith(answers: readonly number[], reading = true): TLSSocket & { starts: number } {
  const socket = {
    starts: 0,
    push: (chunk: unknown): boolean => chunk !== null,
    _handle: { reading, _parent: { readStart: (): number => answers[socket.starts++] ?? already } },
  };
  return socket as unknown as TLSSocket & { starts: number };
}

it.each([
  ['TLS ended the stream if libuv still reads from the socket', [already, already], false],
  ['the stream was cut off if libuv no longer reads from the socket', [already, 0], true],
  ['the end counts as clean if libuv has never answered that it already reads', [0, 0], false],
])('T5: %s', (_what, answers, truncated) => {
  const socket = socketWith(answers);
  const end = watchTlsEnd(socket);
  socket.push(Buffer.from('bytes'));
  socket.push(null);
  expect(end.isTruncated).toBe(truncated);
});

it('T5: `watchTlsEnd` does not probe a TLS socket that does not read, because the probe would start reading', () => {
  const socket = socketWith([], false);
  const end = watchTlsEnd(socket);
  socket.push(null);
  expect([end.isTruncated, socket.starts]).toEqual([false, 0]);
});
