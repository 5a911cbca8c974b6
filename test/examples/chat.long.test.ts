import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { freshFolder } from '../support/transport/places.js';
import { Caller } from './caller.js';
import { example, type Program } from './program.js';

interface Chat {
  readonly program: Program;
  readonly tcp: string;
  readonly unix: string;
}

async function startChat(): Promise<Chat> {
  const program = example('chat', 'tcp://127.0.0.1:0', `unix:${join(await freshFolder(), 'chat')}`);
  const [, tcp = ''] = await program.until(/^listening at (tcp:.+)$/m);
  const [, unix = ''] = await program.until(/^listening at (unix:.+)$/m);
  return { program, tcp, unix };
}

/** Connects, and enters the room under a name. */
async function enter(name: string, address: string): Promise<Caller> {
  const caller = await Caller.dial(address);
  expect(await caller.hear()).toBe('What is your name?');
  await caller.say(`${name}\r\n`);
  expect(await caller.hear()).toBe(`* ${name} has joined`);
  return caller;
}

test('the chat example shows how it works, and ends', async () => {
  const chat = example('chat');
  expect(await chat.ended, chat.errors).toBe(0);
  expect(chat.lines.map((line) => line.replace(/\d+/, 'n'))).toEqual([
    '* ann has joined',
    'ann: Hello from TCP!',
    'bob: Hello from a unix socket!',
    '* carol has joined',
    '* carol has left (ERR_OVERFLOW)',
    'bob has heard each of n lines meanwhile',
    '* ann has left',
  ]);
});

test('the chat example serves one room over both transports until Ctrl-C', async () => {
  const { program, tcp, unix } = await startChat();
  const ann = await enter('ann', tcp);
  const bob = await enter('bob', unix);
  expect(await ann.hear()).toBe('* bob has joined');
  await ann.say('Hello\r\n');
  await bob.say('Hello yourself\n');
  const heard = [await ann.hear(), await ann.hear()];
  expect([...heard].sort()).toEqual(['ann: Hello', 'bob: Hello yourself']);
  expect([await bob.hear(), await bob.hear()]).toEqual(heard);
  ann.hangUp();
  expect(await bob.hear()).toBe('* ann has left');
  expect(await ann.hear()).toBeUndefined();
  const ended = program.interrupt();
  expect(await bob.hear()).toBeUndefined();
  bob.hangUp();
  expect(await ended, program.errors).toBe(0);
  expect(existsSync(unix.slice('unix:'.length))).toBe(false);
});

test('the chat example drops a client that does not read, and the other clients get everything', async () => {
  const { tcp, unix } = await startChat();
  const ann = await enter('ann', tcp);
  const carol = await enter('carol', unix);
  carol.socket.pause();
  expect(await ann.hear()).toBe('* carol has joined');
  let heard: string | undefined;
  let line: string;
  let count = 0;
  do {
    line = `${++count} ${'x'.repeat(900)}`;
    await ann.say(`${line}\n`);
    heard = await ann.hear();
  } while (heard === `ann: ${line}`);
  expect(heard).toBe('* carol has left (ERR_OVERFLOW)');
  expect(await ann.hear()).toBe(`ann: ${line}`);
});

test('the chat example slows down a client that floods the room, so that the other clients can keep up', async () => {
  const { tcp, unix } = await startChat();
  const bob = await enter('bob', unix);
  const ann = await enter('ann', tcp);
  expect(await bob.hear()).toBe('* ann has joined');
  const said = Array.from({ length: 1_000 }, (_, n) => `${n} ${'x'.repeat(900)}`);
  ann.socket.write(said.map((line) => `${line}\n`).join(''));
  for (const line of said) expect(await bob.hear()).toBe(`ann: ${line}`);
});

test('the chat example lets no client harm the other clients', async () => {
  const { tcp, unix } = await startChat();
  const ann = await enter('ann', tcp);
  const eve = await Caller.dial(unix);
  expect(await eve.hear()).toBe('What is your name?');
  for (const name of ['ann', '', 'a name', 'x'.repeat(21)]) {
    await eve.say(`${name}\n`);
    expect(await eve.hear()).toBe('Not that one. What is your name?');
  }
  await eve.say('eve\n');
  expect(await ann.hear()).toBe('* eve has joined');
  expect(await eve.hear()).toBe('* eve has joined');
  await eve.say(`${'x'.repeat(60_000)}\n`);
  expect(await eve.hear()).toBe('That was too long: 1000 characters at most.');
  // The room can decode this line but not encode it, because the '\r' would belong to the line end.
  await eve.say('hello\r\r\n');
  expect(await ann.hear()).toBe('eve: hello');
  await eve.say('x'.repeat(100_000));
  expect(await ann.hear()).toBe('* eve has left (ERR_FRAME_TOO_LONG)');

  const mallory = await enter('mallory', tcp);
  expect(await ann.hear()).toBe('* mallory has joined');
  mallory.socket.resetAndDestroy();
  expect(await ann.hear()).toBe('* mallory has left (ECONNRESET)');
});
