import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Caller } from '../examples/caller.js';
import { program, type Program } from '../examples/program.js';
import { blocksOf, install, named, typeErrors } from './blocks.js';

const programs = named(await blocksOf('docs/guide.md'));
const sockets = await mkdtemp(join(tmpdir(), 'rxjs-sockets-'));

afterAll(() => rm(sockets, { recursive: true }));

/** Runs a program of the guide, at addresses of this test. */
async function run(name: string, port = 0): Promise<Program> {
  const moved = Array.from(programs, ([file, text]): [string, string] => [
    file,
    text
      .replaceAll('tcp://localhost:7000', `tcp://127.0.0.1:${port}`)
      .replaceAll('/tmp/chat.sock', join(sockets, 'chat.sock')),
  ]);
  return program([join(await install(new Map(moved)), name)]);
}

/** The port that a server of the guide has told. */
async function portOf(server: Program): Promise<number> {
  const [, port] = await server.until(/port: (\d+)/);
  return Number(port);
}

async function dial(server: Program): Promise<Caller> {
  return Caller.dial({ port: await portOf(server) });
}

async function answersTo(server: Program, text: string): Promise<string[]> {
  const caller = await dial(server);
  await caller.say(text);
  caller.hangUp();
  const answers: string[] = [];
  for (let line = await caller.hear(); line !== undefined; line = await caller.hear()) answers.push(line);
  return answers;
}

test('the programs of the guide and of the README have the right types', async () => {
  const [readme = ''] = await blocksOf('README.md');
  expect(typeErrors(new Map([...programs, ['readme.ts', readme]]))).toEqual([]);
  const wrong = `${readme}\nclient.data.next(1);`;
  expect(typeErrors(new Map([['wrong.ts', wrong]]))).toEqual([expect.stringContaining("type 'number'")]);
}, 60_000);

test('the room of the guide is the room of the chat example', async () => {
  const file = new URL('../../examples/chat/room.ts', import.meta.url);
  expect(programs.get('room.ts')).toBe(await readFile(file, 'utf8'));
});

test('echo.ts and client.ts talk to each other', async () => {
  const server = await run('echo.ts');
  expect(await answersTo(server, 'one\r\ntwo')).toEqual(['one', 'two']);
  const client = await run('client.ts', await portOf(server));
  expect(await client.ended, client.errors).toBe(0);
  expect(client.lines.filter((line) => /hello|world/.test(line))).toEqual(['hello', 'world']);
  expect(client.lines.filter((line) => !/hello|world/.test(line))).toEqual(['connecting', 'connected', 'disconnected']);
});

test('shout.ts answers in capitals', async () => {
  expect(await answersTo(await run('shout.ts'), 'one\ntwo\n')).toEqual(['ONE', 'TWO']);
});

test('answer.ts takes its time, and keeps the order', async () => {
  expect(await answersTo(await run('answer.ts'), 'One\nTwo\n')).toEqual(['One? Yes.', 'Two? Yes.']);
});

test('everybody.ts lets everybody hear everybody, and outlives a client that is killed', async () => {
  const server = await run('everybody.ts');
  const callers: Caller[] = [];
  for (let i = 0; i < 3; i++) {
    const caller = await dial(server);
    callers.push(caller);
    await caller.say('hello\r\r\n');
    for (const other of callers) expect(await other.hear()).toBe('hello');
  }
  const [first, second, third] = callers as [Caller, Caller, Caller];
  third.socket.resetAndDestroy();
  await server.until(/ECONNRESET|reset/);
  first.hangUp();
  expect(await first.hear()).toBeUndefined();
  await second.say('still here\n');
  expect(await second.hear()).toBe('still here');
});

test('chat.ts is one room for both transports, until Ctrl-C', async () => {
  const server = await run('chat.ts');
  await server.until(/chat\.sock/);
  const ann = await dial(server);
  const bob = await Caller.dial({ path: join(sockets, 'chat.sock') });
  for (const [caller, name] of [
    [ann, 'ann'],
    [bob, 'bob'],
  ] as const) {
    expect(await caller.hear()).toBe('What is your name?');
    await caller.say(`${name}\n`);
    expect(await caller.hear()).toBe(`* ${name} has joined`);
  }
  expect(await ann.hear()).toBe('* bob has joined');
  await bob.say('hello\n');
  expect(await ann.hear()).toBe('bob: hello');
  const ended = server.interrupt();
  expect(await ann.hear()).toBeUndefined();
  ann.hangUp();
  bob.hangUp();
  expect(await ended, server.errors).toBe(0);
});

test('room.test.ts passes', async () => {
  const tests = await run('room.test.ts');
  expect(await tests.ended, tests.output).toBe(0);
  expect(tests.output).toMatch(/pass 1/);
});
