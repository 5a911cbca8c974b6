import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, expect, onTestFinished, test } from 'vitest';
import { Caller } from '../examples/caller.js';
import { program, type Program } from '../examples/program.js';
import { stranger } from '../support/transport/node/tls/certificates.js';
import { blocksOf, install, named, typeErrors } from '../support/docs/code-blocks.js';

const programs = named(await blocksOf('docs/guide.md'));
const sockets = await mkdtemp(join(tmpdir(), 'rxjs-sockets-'));

afterAll(() => rm(sockets, { recursive: true }));

/** Runs a program of the guide at this test's address, with the certificate that the guide created. */
async function run(name: string, port = 0, host = '127.0.0.1'): Promise<Program> {
  const moved = Array.from(programs, ([file, text]): [string, string] => [
    file,
    text
      .replaceAll('tcp://localhost:7000', `tcp://${host}:${port}`)
      .replaceAll('tls://localhost:7000', `tls://localhost:${port}`)
      .replaceAll('/tmp/chat.sock', join(sockets, 'chat.sock')),
  ]);
  const { key, cert } = stranger;
  return program([join(await install(new Map([...moved, ['server.key', key], ['server.pem', cert]])), name)]);
}

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

test('the programs of the guide and the README type-check', async () => {
  const [readme = ''] = await blocksOf('README.md');
  expect(typeErrors(new Map([...programs, ['readme.ts', readme]]))).toEqual([]);
  const wrong = `${readme}\nclient.data.next(1);`;
  expect(typeErrors(new Map([['wrong.ts', wrong]]))).toEqual([expect.stringContaining("type 'number'")]);
}, 60_000);

test("the guide's room.ts is identical to the chat example's room.ts", async () => {
  const file = new URL('../../examples/chat/room.ts', import.meta.url);
  expect(programs.get('room.ts')).toBe(await readFile(file, 'utf8'));
});

test("the guide's echo.ts and client.ts exchange lines", async () => {
  const server = await run('echo.ts');
  expect(await answersTo(server, 'one\r\ntwo')).toEqual(['one', 'two']);
  const client = await run('client.ts', await portOf(server));
  expect(await client.ended, client.errors).toBe(0);
  expect(client.lines.filter((line) => /hello|world/.test(line))).toEqual(['hello', 'world']);
  expect(client.lines.filter((line) => !/hello|world/.test(line))).toEqual(['connecting', 'connected', 'disconnected']);
});

test("the guide's ask.ts asks one question after another, and ends", async () => {
  const server = await run('echo.ts');
  const client = await run('ask.ts', await portOf(server));
  expect(await client.ended, client.errors).toBe(0);
  expect(client.lines).toEqual(['one', 'two']);
});

test("the guide's shout.ts answers in capitals", async () => {
  expect(await answersTo(await run('shout.ts'), 'one\ntwo\n')).toEqual(['ONE', 'TWO']);
});

test("the guide's answer.ts answers slowly, in order", async () => {
  expect(await answersTo(await run('answer.ts'), 'One\nTwo\n')).toEqual(['One? Yes.', 'Two? Yes.']);
});

test("the guide's serve.ts calculates, and survives invalid input", async () => {
  const server = await run('serve.ts');
  expect(await answersTo(server, '1+2\n40+2\n')).toEqual(['3', '42']);
  await server.until(/^tcp:\/\/127\.0\.0\.1:\d+ finished after 9 bytes$/m);
  const careless = await dial(server);
  await careless.say('1+x\n');
  await server.until(/^a handler or a source failed: Cannot convert x to a BigInt$/m);
  await server.until(/ failed after 4 bytes$/m);
  expect(await answersTo(server, '2+2\n')).toEqual(['4']);
});

test("the guide's strict.ts answers valid requests, and says why a connection ends", async () => {
  const server = await run('strict.ts');
  expect(await answersTo(server, '{"add":[1,2]}\nnonsense\n{"add":[3]}\n')).toEqual([
    '{"sum":3}',
    expect.stringMatching(/^\{"error":".*nonsense/),
  ]);
  await server.until(/^ERR_FRAME_INVALID$/m);
  expect(await answersTo(server, '{"add":[]}\n')).toEqual(['{"sum":0}']);
  await server.until(/^finished$/m);
});

test("the guide's checksum.ts reads a body in chunks, and notices if the body is cut off", async () => {
  const server = await run('checksum.ts');
  const body = 'hello'.repeat(100_000);
  const hash = createHash('sha256').update(body).digest('hex');
  expect(await answersTo(server, `${body.length}\n${body}`)).toEqual([hash]);
  await server.until(/^finished$/m);
  expect(await answersTo(server, '10\nhello')).toEqual([]);
  await server.until(/^failed$/m);
});

test("the guide's everybody.ts sends every message to all clients, and survives a killed client", async () => {
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

test("the guide's chat.ts serves one room over both transports until Ctrl-C", async () => {
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

test("the guide's ticker.ts says goodbye at SIGTERM", async () => {
  const server = await run('ticker.ts');
  const caller = await dial(server);
  expect(await caller.hear()).toBe('tick 0');
  const ended = server.interrupt('SIGTERM');
  for (let line = await caller.hear(); line !== 'bye'; line = await caller.hear()) expect(line).toMatch(/^tick \d+$/);
  expect(await caller.hear()).toBeUndefined();
  caller.hangUp();
  expect(await ended, server.errors).toBe(0);
  expect(server.lines.at(-1)).toBe('finished');
});

test("the guide's room.test.ts passes", async () => {
  const tests = await run('room.test.ts');
  expect(await tests.ended, tests.output).toBe(0);
  expect(tests.output).toMatch(/pass 1/);
});

test("the guide's local.ts serves a socket file that only its user and group can open", async () => {
  const server = await run('local.ts');
  await server.until(/chat\.sock/);
  const path = join(sockets, 'chat.sock');
  expect((await stat(path)).mode & 0o777).toBe(0o660);
  const caller = await Caller.dial({ path });
  await caller.say('hello\n');
  expect(await caller.hear()).toBe('hello');
});

test("the guide's secure.ts and secure-client.ts exchange lines, and a client without TLS is refused", async () => {
  const server = await run('secure.ts');
  const port = await portOf(server);
  const client = await run('secure-client.ts', port);
  expect(await client.ended, client.errors).toBe(0);
  expect(client.lines).toEqual(['TLSv1.3 true', 'hello']);
  const plain = await dial(server);
  await plain.say('hello\n');
  await server.until(/TLS handshake failed/);
});

test("the guide's starttls.ts and starttls-client.ts upgrade to TLS, and injected bytes are refused", async () => {
  const server = await run('starttls.ts');
  const port = await portOf(server);
  const client = await run('starttls-client.ts', port, 'localhost');
  expect(await client.ended, client.errors).toBe(0);
  expect(client.lines).toEqual(['hello, with TLSv1.3']);
  expect(await answersTo(server, 'hello\n')).toEqual(['hello, with no TLS']);
  const attacker = await dial(server);
  await attacker.say('STARTTLS\nhello\n');
  await server.until(/unencrypted bytes arrived after the command/);
});

test("the guide's behind.ts shows the client addresses that the proxy names", async () => {
  const server = await run('behind.ts');
  const caller = await dial(server);
  await caller.say('PROXY TCP4 192.0.2.7 192.0.2.1 4711 7000\r\n');
  expect(await caller.hear()).toBe('You come from tcp://192.0.2.7:4711');
  const liar = await dial(server);
  await liar.say('hello\n');
  await server.until(/^PROXY header: /m);
});

test("the guide's stay.ts dials until a server listens, and dials again when the server is gone", async () => {
  const gone = net.createServer().listen(0, '127.0.0.1');
  await once(gone, 'listening');
  const { port } = gone.address() as net.AddressInfo;
  gone.close();
  await once(gone, 'close');
  const client = await run('stay.ts', port);
  await client.until(/^connecting $/m);
  await client.until(/^waiting \d+ ms$/m);
  for (let life = 1; life <= 2; life++) {
    const server = net.createServer().listen(port, '127.0.0.1');
    const [socket] = (await once(server, 'connection')) as [net.Socket];
    socket.write(`life ${life}\n`);
    const [heard] = (await once(socket, 'data')) as [Buffer];
    expect(heard.toString()).toMatch(/^tick \d+\n/);
    await client.until(new RegExp(`^life ${life}$`, 'm'));
    server.close();
    socket.destroy();
    await once(server, 'close');
  }
});

test("the guide's login.ts logs in on each connection before it asks", async () => {
  const server = net.createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const client = await run('login.ts', (server.address() as net.AddressInfo).port);
  const heard = async (count: number): Promise<{ socket: net.Socket; lines: string[] }> => {
    const [socket] = (await once(server, 'connection')) as [net.Socket];
    const lines: string[] = [];
    for await (const line of createInterface({ input: socket })) {
      socket.write(line.startsWith('login') ? 'welcome\nnews\n' : 'nothing\n');
      if (lines.push(line) === count) break;
    }
    return { socket, lines };
  };
  const first = await heard(2);
  expect(first.lines).toEqual(['login ann secret', 'list']);
  await client.until(/^connecting \nconnected \nnews\nnothing\n/);
  const second = heard(1);
  first.socket.destroy();
  expect((await second).lines).toEqual(['login ann secret']);
  await client.until(/news\n[^]*connected \nnews\n/);
  (await second).socket.destroy();
});

test("the guide's meter.ts reconnects when a device is silent", async () => {
  const server = net.createServer((socket) => socket.resume().on('error', () => undefined)).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const client = await run('meter.ts', (server.address() as net.AddressInfo).port);
  await client.until(/^disconnected ERR_TIMEOUT_RECEIVE\n[^]*^connected/m);
});
