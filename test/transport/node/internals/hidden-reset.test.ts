import { closeSync, openSync } from 'node:fs';
import type net from 'node:net';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { hiddenReset } from '../../../../src/transport/node/internals/hidden-reset.js';
import { freshFolder } from '../../../support/transport/places.js';

/** A socket with this descriptor, as `hiddenReset` sees it. */
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
  // The largest possible number, so that no descriptor has it.
  expect(hiddenReset(socketOf(2 ** 31 - 1))).toBeUndefined();
});
