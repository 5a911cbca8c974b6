import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { freshFolder } from '../support/transport/places.js';
import { Caller } from './caller.js';
import { example } from './program.js';

test('the echo example shows how it works, and ends', async () => {
  const echo = example('echo');
  expect(await echo.ended, echo.errors).toBe(0);
  expect(echo.lines.slice(1)).toEqual(['echo: one', 'echo: two']);
});

test('the echo example serves plain sockets until Ctrl-C', async () => {
  const path = join(await freshFolder(), 'echo');
  for (const where of ['tcp://127.0.0.1:0', `unix:${path}`]) {
    const echo = example('echo', where);
    const [, address = ''] = await echo.until(/^listening at (.+)$/m);
    const caller = await Caller.dial(address);
    await caller.say('one\ntwo');
    expect(await caller.hear()).toBe('one');
    caller.hangUp();
    expect(await caller.hear()).toBe('two');
    expect(await caller.hear()).toBeUndefined();
    expect(await echo.interrupt(), echo.errors).toBe(0);
  }
  expect(existsSync(path)).toBe(false);
});

test('the echo example says what prevents it from listening', async () => {
  const path = join(await freshFolder(), 'missing', 'echo');
  const echo = example('echo', `unix:${path}`);
  expect(await echo.ended).toBe(1);
  expect(echo.errors).toContain('ENOENT');
});
