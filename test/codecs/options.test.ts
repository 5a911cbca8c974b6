import { describe, expect, it } from 'vitest';
import { delimited, jsonLines, lengthPrefixed, lines, netstring } from '../../src/codecs/index.js';

const codecs: readonly [name: string, make: (options: object) => unknown][] = [
  ['delimited', (options) => delimited('\0', options)],
  ['jsonLines', jsonLines],
  ['lengthPrefixed', lengthPrefixed],
  ['lines', lines],
  ['netstring', netstring],
];

describe('the options of the codecs', () => {
  it.each(codecs)('A5: %s refuses an unknown option', (name, make) => {
    expect(() => make({ maxlength: 512 })).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION_INVALID', message: `maxlength is not an option of ${name}` }),
    );
  });

  it.each(codecs)('A5: %s ignores an unknown option that is undefined', (_name, make) => {
    expect(() => make({ maxlength: undefined, maxLength: 512 })).not.toThrow();
  });
});
