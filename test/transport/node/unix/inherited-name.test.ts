import { describe, expect, it } from 'vitest';
import { listedName } from '../../../../src/transport/node/unix/inherited-socket.js';

const row = (inode: number | string, name?: string): string =>
  `0000000092f3c4cf: 00000002 00000000 00010000 0001 01 ${String(inode).padStart(5)}${name === undefined ? '' : ` ${name}`}\n`;

/** Returns the text of `/proc/net/unix` with the given rows. */
const table = (...rows: string[]): string =>
  Buffer.from(`Num       RefCount Protocol Flags    Type St Inode Path\n${rows.join('')}`).toString('latin1');

const named = [
  '/run/app.sock',
  '/run/with a space',
  ' /run/x ',
  '/run/é€😀',
  '@abstract',
  'relative',
  '/run/two\nlines',
];

describe('the list of unix sockets', () => {
  it.each(named)('S16: `listedName` returns the name %j of a socket', (name) => {
    for (const text of [
      table(row(7, name)),
      table(row(17, '/a'), row(7, name), row(71)),
      table(row(1), row(70, '/b'), row(7, name)),
    ]) {
      expect(listedName(text, '7')).toBe(name);
    }
  });

  it.each([
    ['a missing socket', table(row(17, '/run/7'), row(70, ' 7 /x'), row(71))],
    ['a socket without a name', table(row(7), row(8, '/run/b'))],
    ['a socket whose name is not UTF-8', `${table()}${row(7, '/run/\xff')}`],
    ['a name that pretends to be a row', table(row(7, '/run/a'), row(9, `/tmp/x\n${row(7, '/run/b')}`))],
    ['an empty text', ''],
    ['other text', 'a\nb 7 /run/a\n'],
  ])('S16: `listedName` returns no name for %s', (_, text) => {
    expect(listedName(text, '7')).toBeUndefined();
  });

  it('S16: `listedName` finds a name in a list of 50,000 sockets', () => {
    const text = table(...Array.from({ length: 50_000 }, (_, index) => row(100_000 + index, `/run/${index}`)));
    expect(listedName(text, '149999')).toBe('/run/49999');
  });
});
