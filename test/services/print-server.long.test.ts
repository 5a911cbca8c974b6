import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { example, Program } from '../examples/program.js';
import { freshFolder } from '../support/transport/places.js';
import { controlFile, hash, jobBytes, PlainClient, PrintedQueue, root } from '../support/services/printing.js';
import {
  newQueue,
  shared,
  ok,
  patient,
  answerTo,
  dial,
  startShared,
  stopShared,
} from '../support/services/shared-print-server.js';

// Each test starts all of its programs at the same time, so a test can be slow.
vi.setConfig({ testTimeout: 60_000 });

beforeAll(startShared);
afterAll(stopShared);

async function ownServer(spool: string, ...prefix: string[]): Promise<{ server: Program; port: number }> {
  const server =
    prefix.length === 0
      ? example('services/print-server', 'tcp://127.0.0.1:0', spool)
      : new Program(spawnWith([...prefix, process.execPath], spool));
  const [, port] = await server.until(/^tcp:\/\/127\.0\.0\.1:(\d+)\n/);
  return { server, port: Number(port) };
}

function spawnWith([command = '', ...args]: string[], spool: string): ChildProcess {
  const source = ['--import', 'tsx', '--conditions=rxjs-sockets-source', 'examples/services/print-server.ts'];
  const child = spawn(command, [...args, ...source, 'tcp://127.0.0.1:0', spool], { cwd: root, stdio: 'pipe' });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  return child;
}

describe('the print server', () => {
  test('acknowledges every step, in order, and accepts several jobs on one connection', async () => {
    const queue = newQueue();
    const client = dial();
    const documents = [Buffer.from('one'), Buffer.from('two')];
    const control = controlFile({ documents });
    expect(await client.ask(`\x02${queue.name}\n`, 1)).toBe(ok);
    expect(await client.ask('\x033 dfA042client\n', 2)).toBe(ok.repeat(2));
    expect(await client.ask('one\0', 3)).toBe(ok.repeat(3));
    expect(await client.ask(`\x02${control.length} cfA042client\n`, 4)).toBe(ok.repeat(4));
    expect(await client.ask(Buffer.concat([control, Buffer.of(0)]), 5)).toBe(ok.repeat(5));
    expect(await client.ask('\x033 dfB042client\n', 6)).toBe(ok.repeat(6));
    expect(await queue.hashes()).toEqual([]);
    expect(await client.ask('two\0', 7)).toBe(ok.repeat(7));
    expect(await queue.hashes()).toEqual(documents.map(hash).sort());
    const next = jobBytes({ queue: queue.name, number: '043', documents: [Buffer.from('three')] });
    expect(await client.finish(next.subarray(queue.name.length + 2))).toBe(ok.repeat(11));
    expect(await queue.files()).toHaveLength(3);
  });

  test('forgets an aborted job', async () => {
    const queue = newQueue();
    const client = dial();
    await client.ask(`\x02${queue.name}\n\x033 dfA042client\none\0`, 3);
    expect(await queue.files()).toHaveLength(1);
    expect(await client.ask('\x01\n', 4)).toBe(ok.repeat(4));
    expect(await queue.files()).toEqual([]);
    const job = jobBytes({ queue: queue.name, number: '043', documents: [Buffer.from('two')] });
    expect(await client.finish(job.subarray(queue.name.length + 2))).toBe(ok.repeat(8));
    expect(await queue.hashes()).toEqual([hash(Buffer.from('two'))]);
  });

  test('shows nothing of a job that was cut off, at whatever byte', async () => {
    const job = fc.record({
      order: fc.constantFrom('control first' as const, 'data first' as const),
      documents: fc.array(fc.uint8Array({ minLength: 1, maxLength: 200 }), { minLength: 1, maxLength: 3 }),
      cut: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      resets: fc.boolean(),
    });
    const queue = newQueue();
    const property = fc.asyncProperty(job, async ({ order, documents, cut, resets }) => {
      await rm(queue.folder, { recursive: true, force: true });
      const bytes = jobBytes({ queue: queue.name, order, documents });
      const client = dial();
      client.socket.write(bytes.subarray(0, Math.floor(cut * bytes.length)), () => {
        if (resets) client.socket.resetAndDestroy();
        else client.socket.end();
      });
      await client.ended;
      await expect.poll(() => queue.files(), patient).toEqual([]);
      expect(await answerTo(bytes)).toBe(ok.repeat(3 + 2 * documents.length));
      expect(await queue.hashes()).toEqual(documents.map(hash).sort());
    });
    await fc.assert(property, { numRuns: 60 });
  });

  test.each([0, 999_999_999_999])(
    'if %i bytes are announced, accepts a document that ends with the connection',
    async (announced) => {
      const queue = newQueue();
      const bytes = randomBytes(200_000);
      const job = jobBytes({ queue: queue.name, documents: [bytes], announced });
      const reset = dial();
      await reset.ask(job.subarray(0, 150_000), 4);
      await expect.poll(() => queue.files(), patient).toHaveLength(1);
      reset.socket.resetAndDestroy();
      await expect.poll(() => queue.files(), patient).toEqual([]);
      const empty = dial();
      await empty.finish(job.subarray(0, job.length - bytes.length));
      expect(await queue.files()).toEqual([]);
      expect(await answerTo(job)).toBe(ok.repeat(5));
      expect(await queue.hashes()).toEqual([hash(bytes)]);
    },
  );

  test.each(['..', '.', '../queue', '/tmp', 'a/b', '.hidden', '', 'a\0b', 'a'.repeat(64), '\u00e9'])(
    'refuses a job for a queue named %j',
    async (name) => {
      const before = await readdir(shared.spool);
      const answer = await answerTo(jobBytes({ queue: name, documents: [Buffer.from('escaped')] }));
      expect(answer).toBe('\x01no queue has this name\n');
      expect(await readdir(shared.spool)).toEqual(before);
    },
  );

  test('follows no symbolic link', async () => {
    const outside = await freshFolder();
    await writeFile(join(outside, '1-1_042_ann_localhost_theirs'), 'theirs');
    const queue = newQueue();
    await symlink(outside, queue.folder);
    expect(await answerTo(jobBytes({ queue: queue.name, documents: [Buffer.from('escaped')] }))).toContain('\x01');
    expect(await answerTo(`\x05${queue.name} root 42\n`)).not.toContain('dequeued');
    expect(await answerTo(`\x04${queue.name}\n`)).not.toContain('theirs');
    expect(await readdir(outside)).toEqual(['1-1_042_ann_localhost_theirs']);

    const other = newQueue();
    await mkdir(other.folder);
    await symlink(join(outside, '1-1_042_ann_localhost_theirs'), join(other.folder, '1-1_042_ann_localhost_theirs'));
    expect(await answerTo(`\x03${other.name}\n`)).toBe('no entries\n');
  });

  test.each([
    '../../../etc/passwd',
    '..',
    '.',
    '/',
    'a\\..\\b',
    'a_b_c',
    '\x1b[2J',
    'x'.repeat(500),
    '\u{1f5a8}'.repeat(99),
  ])('keeps a document named %j in its queue', async (title) => {
    const queue = newQueue();
    const user = [...title].slice(0, 5).join('');
    const before = await readdir(shared.spool);
    const answer = await answerTo(jobBytes({ queue: queue.name, user, title, documents: [Buffer.from('x')] }));
    expect(answer).toBe(ok.repeat(5));
    expect(await readdir(shared.spool)).toEqual([...before, queue.name].sort());
    expect(await queue.files()).toHaveLength(1);
    const list = await answerTo(`\x03${queue.name}\n`);
    expect(list).toMatch(/^1 .* 042 .* 1 bytes$/m);
    expect(list).not.toMatch(/[^\n -~\u0080-\u00ff]/);
    expect(await answerTo(`\x05${queue.name} root 42\n`)).toBe('042 dequeued\n');
  });

  test.each([
    ['an unknown command', () => 'GET / HTTP/1.0\r\n\r\n', 'this is not a command'],
    ['an unknown code', () => '\x09lp\n', 'this is not a command'],
    ['an unknown subcommand', (queue: string) => `\x02${queue}\n\x04\n`, 'this is not a subcommand'],
    [
      'a data file in the place of a control file',
      (queue: string) => `\x02${queue}\n\x021 dfA042c\n`,
      'this is not a subcommand',
    ],
    ['an invalid size', (queue: string) => `\x02${queue}\n\x03-1 dfA042c\n`, 'this is not a subcommand'],
    [
      'a control file that is too large',
      (queue: string) => `\x02${queue}\n\x0265537 cfA042c\n`,
      'the control file is too large',
    ],
    [
      'a document that is too large',
      (queue: string) => `\x02${queue}\n\x03999999999999999 dfA042c\n`,
      'there is no space',
    ],
    [
      'a document with a byte too many',
      (queue: string) => `\x02${queue}\n\x031 dfA042c\nxx`,
      'not as long as it was announced',
    ],
    [
      'a second job before the first is complete',
      (queue: string) => `\x02${queue}\n\x031 dfA042c\nx\0\x031 dfA043c\n`,
      'job 042 is not',
    ],
    [
      'a control file without a user',
      (queue: string) => `\x02${queue}\n\x0210 cfA042c\nfdfA042c\n\n\0`,
      'names no user',
    ],
    ['a control file without documents', (queue: string) => `\x02${queue}\n\x025 cfA042c\nPann\n\0`, 'prints nothing'],
    [
      'a file of the server',
      (queue: string) => `\x02${queue}\n\x0217 cfA042c\nPann\nf/etc/passwd\0`,
      'not part of its job',
    ],
    [
      'a file of another job',
      (queue: string) => `\x02${queue}\n\x0213 cfA042c\nPann\nfdfA043c\0`,
      'not part of its job',
    ],
  ])('refuses %s, and says why', async (_, bytes, why) => {
    const queue = newQueue();
    const answer = await answerTo(bytes(queue.name));
    const [acknowledged = '', reason] = answer.split('\x01');
    expect(acknowledged.replaceAll(ok, '')).toBe('');
    expect(reason).toContain(why);
    expect(await queue.files()).toEqual([]);
  });

  test('serves a client while two hundred others are silent', async () => {
    const silent = Array.from({ length: 200 }, dial);
    await Promise.all(silent.map((client) => client.ask('', 0)));
    expect(await answerTo(`\x03${newQueue().name}\n`)).toBe('no entries\n');
    for (const client of silent) client.socket.destroy();
  });

  test('ends the connection of a client whose command is too long', async () => {
    const client = dial();
    client.socket.write(`\x02${'x'.repeat(5_000)}`);
    expect((await client.ended).received).toBe('');
  });

  test('removes only jobs that the requesting user may remove, and only after a complete command', async () => {
    const queue = newQueue();
    for (const [number, user] of [
      ['001', 'ann'],
      ['002', 'bob'],
      ['012', 'ann'],
    ] as const) {
      await answerTo(jobBytes({ queue: queue.name, number, user, title: number, documents: [Buffer.from('x')] }));
    }
    expect(await answerTo(`\x05${queue.name} ann 1`)).toBe(''); // without a line end, 1 may be the beginning of 12
    expect(await answerTo(`\x05${queue.name} bob 1 12\n`)).toMatch('nothing was removed');
    expect(await answerTo(`\x05${queue.name} bob ann\n`)).toMatch('nothing was removed');
    expect(await queue.titles()).toEqual(['001', '002', '012']);
    expect(await answerTo(`\x05${queue.name} ann 12\n`)).toBe('012 dequeued\n');
    expect(await answerTo(`\x05${queue.name} bob\n`)).toMatch('nothing was removed'); // The first job is not bob's.
    expect(await answerTo(`\x05${queue.name} root bob\n`)).toBe('002 dequeued\n');
    expect(await answerTo(`\x05${queue.name} ann\n`)).toBe('001 dequeued\n');
    expect(await answerTo(`\x03${queue.name}\n`)).toBe('no entries\n');
  });

  test("lets nobody remove the jobs of another machine, except root of the server's own machine", async () => {
    const queue = newQueue();
    await mkdir(queue.folder);
    await writeFile(join(queue.folder, '1-1_042_ann_192.0.2.1_report'), 'report');
    expect(await answerTo(`\x05${queue.name} ann 42\n`)).toMatch('nothing was removed');
    const remote = new PlainClient({ host: '127.0.0.1', port: shared.port, localAddress: '127.0.0.2' });
    expect(await remote.finish(`\x05${queue.name} root 42\n`)).toMatch('nothing was removed');
    expect(await answerTo(`\x05${queue.name} root 42\n`)).toBe('042 dequeued\n');
  });

  test('ignores a command to print waiting jobs', async () => {
    expect(await answerTo(`\x01${newQueue().name}\n`)).toBe(ok);
  });

  test('if disk space is short, refuses a job after the whole job has arrived', async () => {
    const spool = await freshFolder();
    const { port } = await ownServer(spool, 'prlimit', '--fsize=1000000');
    const large = jobBytes({ queue: 'lp', documents: [randomBytes(3_000_000)] });
    const client = new PlainClient({ host: '127.0.0.1', port });
    expect(await client.finish(large)).toBe(`${ok.repeat(4)}\x01there is no space left for the document\n`);
    expect(await readdir(join(spool, 'lp'))).toEqual([]);
    const stream = new PlainClient({ host: '127.0.0.1', port });
    const endless = jobBytes({ queue: 'lp', documents: [randomBytes(3_000_000)], announced: 0 });
    expect(await stream.finish(endless)).toContain(`${ok.repeat(4)}\x01`);
    expect(await readdir(join(spool, 'lp'))).toEqual([]);
    const small = new PlainClient({ host: '127.0.0.1', port });
    expect(await small.finish(jobBytes({ queue: 'lp', documents: [Buffer.from('x')] }))).toBe(ok.repeat(5));
  });

  test('when it starts, removes unfinished jobs and nothing else', async () => {
    const spool = await freshFolder();
    await mkdir(join(spool, 'lp'));
    for (const name of ['.1764377701123.partial', '.keep', '1-1_042_ann_localhost_done', 'readme']) {
      await writeFile(join(spool, 'lp', name), '');
    }
    await ownServer(spool);
    expect((await readdir(join(spool, 'lp'))).sort()).toEqual(['.keep', '1-1_042_ann_localhost_done', 'readme']);
  });

  test('at SIGTERM, finishes arriving jobs and ends', async () => {
    const spool = await freshFolder();
    const { server, port } = await ownServer(spool);
    const job = jobBytes({ queue: 'lp', documents: [randomBytes(500_000)] });
    const busy = new PlainClient({ host: '127.0.0.1', port });
    const between = new PlainClient({ host: '127.0.0.1', port });
    const silent = new PlainClient({ host: '127.0.0.1', port });
    await busy.ask(job.subarray(0, 100_000), 4);
    await between.ask('\x02lp\n', 1);
    await silent.ask('', 0);
    const ended = server.interrupt('SIGTERM');
    expect(await between.ended).toEqual({ received: ok, error: undefined });
    expect(await busy.finish(job.subarray(100_000))).toBe(ok.repeat(5));
    expect(await ended).toBe(0);
    expect(await new PrintedQueue(spool, 'lp').files()).toHaveLength(1);
  });

  test('at SIGTERM, ends within ten seconds even if clients are stuck, and keeps nothing of their jobs', async () => {
    const spool = await freshFolder();
    const { server, port } = await ownServer(spool);
    const documents = [randomBytes(500_000)];
    const sized = new PlainClient({ host: '127.0.0.1', port });
    await sized.ask(jobBytes({ queue: 'lp', documents }).subarray(0, 100_000), 4);
    const stream = new PlainClient({ host: '127.0.0.1', port });
    await stream.ask(jobBytes({ queue: 'lp', documents, announced: 0 }), 4);
    const begin = performance.now();
    expect(await server.interrupt('SIGTERM')).toBe(0);
    expect(performance.now() - begin).toBeLessThan(10_000);
    expect(await readdir(join(spool, 'lp'))).toEqual([]);
  });

  test('shows its usage for bad arguments', async () => {
    const bad = [['tcp://127.0.0.1:0'], ['tcp://127.0.0.1:0', '/nowhere']];
    const servers = bad.map((args) => example('services/print-server', ...args));
    expect(await Promise.all(servers.map(({ ended }) => ended))).toEqual([2, 2]);
    for (const { errors } of servers) {
      expect(errors).toContain('usage: npm run example -- print-server.ts ADDRESS SPOOLFOLDER');
    }
  });
});
