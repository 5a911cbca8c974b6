import { inspect } from 'node:util';
import { type Channel, connect, requests } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { memoryTransport } from 'rxjs-sockets/testing';
import { describe, expect, it } from 'vitest';
import { requestSettings } from '../../src/requests/request-settings.js';
import '../support/leaks.js';
import { refusal } from '../support/errors/refusal.js';

const { data } = connect('memory:nobody', { transport: memoryTransport(), codec: lines() });

const bad: readonly (readonly [option: string, values: readonly unknown[]])[] = [
  ['timeout', [-1, '5', Number.NaN, Infinity, 2 ** 31, null, {}]],
  ['maxPending', [0, -1, 1.5, Number.NaN, Infinity, 2 ** 31, '10', null]],
  ['answers', ['id', null, {}, 5]],
];

describe('the options of requests', () => {
  it.each(
    bad.flatMap(([option, values]) => values.map((value) => [`${option}: ${inspect(value)}`, option, value] as const)),
  )('A5: %s is refused at once, and the error names the option', (_title, option, value) => {
    expect(refusal(() => requests(data, { [option]: value }))).toMatchObject({
      code: 'ERR_OPTION_INVALID',
      message: expect.stringMatching(new RegExp(`^${option} must be `)),
    });
  });

  it.each([null, 'timeout', 5, [], () => undefined])('A5: options that are %o are refused', (options) => {
    expect(refusal(() => requests(data, options as never))).toMatchObject({
      code: 'ERR_OPTION_INVALID',
      message: expect.stringMatching(/^options must be /),
    });
  });

  it('A7: an unknown option is refused, and the error names it, but an undefined option is ignored', () => {
    const options = { idleTimeout: 5 };
    expect(refusal(() => requests(data, options as never))).toMatchObject({
      code: 'ERR_OPTION_INVALID',
      message: 'idleTimeout is not an option of requests',
    });
    expect(requests(data, { idleTimeout: undefined } as never).pending).toBe(0);
  });

  it.each([undefined, null, {}, 'data', connect('memory:nobody', { transport: memoryTransport() })])(
    'A5: a value that is not a channel is refused',
    (channel) => {
      expect(refusal(() => requests(channel as Channel<string>))).toMatchObject({
        code: 'ERR_OPTION_INVALID',
        message: expect.stringMatching(/^requests: channel must be /),
      });
    },
  );

  it('K21: omitted options have the documented defaults', () => {
    const defaults = { answers: undefined, timeout: 10_000, maxPending: 1_024 };
    expect(requestSettings({})).toEqual(defaults);
    expect(requestSettings({ timeout: undefined, maxPending: undefined })).toEqual(defaults);
    const answers = (): undefined => undefined;
    const bounds = { answers, timeout: 2 ** 31 - 1, maxPending: 2 ** 31 - 1 };
    expect(requestSettings(bounds)).toEqual(bounds);
  });
});
