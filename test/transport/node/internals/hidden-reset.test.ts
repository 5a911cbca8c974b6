import { closeSync, openSync } from 'node:fs';
import type net from 'node:net';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { hiddenReset } from '../../../../src/transport/node/internals/hidden-reset.js';
import { freshFolder } from '../../../support/transport/places.js';

/** Returns the part of a socket that `hiddenReset` uses. The socket has the descriptor `fd`. */
const socketOf = (fd: number): net.Socket => ({ _handle: { fd } }) as unknown as net.Socket;

it('C8: hiddenReset finds no reset at a descriptor that cannot be read', async () => {
  const folder = openSync('/', 'r');
  expect(hiddenReset(socketOf(folder))).toBeUndefined();
  closeSync(folder);
  const writeOnly = openSync(join(await freshFolder(), 'file'), 'w');
  expect(hiddenReset(socketOf(writeOnly))).toBeUndefined();
  closeSync(writeOnly);
});

it('C8: hiddenReset finds no reset at a number that is not an open descriptor', () => {
  // This is the largest possible number of a descriptor, so no open descriptor has this number.
  expect(hiddenReset(socketOf(2 ** 31 - 1))).toBeUndefined();
});
