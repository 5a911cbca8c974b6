import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFile, chown, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { example, Program } from '../examples/program.js';
import { freshFolder } from '../support/transport/places.js';
import { describeWith } from '../support/processes/programs.js';
import {
  controlFile,
  hash,
  jobBytes,
  lprng,
  endDaemon,
  lprngSpool,
  type Outcome,
  PlainClient,
  PrintedQueue,
  root,
  run,
} from '../support/services/printing.js';

const ok = '\x00';

/** How long a server may take to notice what a client has done, where nothing tells when it has. */
const patient = { timeout: 10_000 };

// The programs of a test start all at once.
vi.setConfig({ testTimeout: 60_000 });

/** A server that all tests use which don't end it; each test has a queue of its own. */
let shared: { spool: string; port: number; child: ChildProcess };
let queues = 0;

beforeAll(async () => {
  const spool = await mkdtemp(join(tmpdir(), 'rxjs-sockets-'));
  const source = ['--import', 'tsx', '--conditions=rxjs-sockets-source', 'examples/services/print-server.ts'];
  const child = spawn(process.execPath, [...source, 'tcp://127.0.0.1:0', spool], { cwd: root, stdio: 'pipe' });
  const started = new Program(child);
  const [, port] = await started.until(/^tcp:\/\/127\.0\.0\.1:(\d+)\n/);
  shared = { spool, port: Number(port), child };
});

afterAll(async () => {
  shared.child.kill('SIGKILL');
  await rm(shared.spool, { recursive: true, force: true });
});

/** A queue of the shared server that nobody else uses. */
function newQueue(): PrintedQueue & { name: string } {
  const name = `queue-${++queues}`;
  return Object.assign(new PrintedQueue(shared.spool, name), { name });
}

const dial = (): PlainClient => new PlainClient({ host: '127.0.0.1', port: shared.port });

/** What the server answers to all of these bytes, and to the end of the client. */
const answerTo = (bytes: Uint8Array | string): Promise<string> => dial().finish(bytes);

/** A file with these bytes. */
async function fileOf(bytes: Uint8Array, name = 'document'): Promise<string> {
  const path = join(await freshFolder(), name);
  await writeFile(path, bytes);
  return path;
}

/** A server of a test's own, and where it is. */
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

describeWith('rlpr', ['rlpr', 'rlpq', 'rlprm'], ([rlpr, rlpq, rlprm]) => {
  const options = (queue: string): string[] => ['-N', `--port=${shared.port}`, '-H', '127.0.0.1', '-P', queue];

  test.each([[[]], [['--send-data-first']], [['--copies=3']]])(
    'prints exactly the bytes of a file, with %j',
    async (more) => {
      const queue = newQueue();
      const bytes = randomBytes(300_000);
      const { status } = await run(rlpr, [...options(queue.name), ...more, await fileOf(bytes, 'a b_c.pdf')]);
      expect(status).toBe(0);
      expect(await queue.hashes()).toEqual([hash(bytes)]);
      expect(await queue.titles()).toEqual(['a b_c.pdf']);
    },
  );

  test('prints several files, and an empty one', async () => {
    const queue = newQueue();
    const files = [randomBytes(10), Buffer.alloc(0), randomBytes(70_000)];
    const paths = await Promise.all(files.map((bytes) => fileOf(bytes)));
    const { status } = await run(rlpr, [...options(queue.name), ...paths]);
    expect(status).toBe(0);
    expect(await queue.hashes()).toEqual(files.map(hash).sort());
  });

  test('prints for 20 clients at once', async () => {
    const queue = newQueue();
    const files = Array.from({ length: 20 }, () => randomBytes(1_000_000));
    const paths = await Promise.all(files.map((bytes) => fileOf(bytes)));
    const patient = [...options(queue.name), '--timeout=30'];
    const outcomes = await Promise.all(paths.map((path) => run(rlpr, [...patient, path])));
    expect(outcomes.map(({ status }) => status)).toEqual(files.map(() => 0));
    expect(await queue.hashes()).toEqual(files.map(hash).sort());
  });

  test('lists jobs, and removes those of their owner', async () => {
    const queue = newQueue();
    await answerTo(
      jobBytes({ queue: queue.name, number: '007', user: 'ann', title: 'report', documents: [Buffer.alloc(12)] }),
    );
    await answerTo(
      jobBytes({ queue: queue.name, number: '008', user: 'nobody', title: 'plan', documents: [Buffer.alloc(3)] }),
    );
    const short = await run(rlpq, options(queue.name));
    expect(short.output).toContain('1      ann        007  report                                12 bytes');
    const long = await run(rlpq, ['-l', ...options(queue.name), '8']);
    expect(long.output).toMatch(/^nobody: 1 +\[job 008 localhost\]\n +plan +3 bytes$/m);
    expect(long.output).not.toContain('ann');

    // The client says that it is the user that it runs as: here root, who may remove every job of this machine.
    await run(rlprm, [...options(queue.name), '7']);
    expect(await queue.titles()).toEqual(['plan']);
  });
});

describeWith('LPRng', ['lprng/usr/bin/lpr', 'lprng/usr/bin/lpq', 'lprng/usr/bin/lprm'], ([lpr, lpq, lprm]) => {
  const to = (queue: string): string[] => ['-P', `${queue}@127.0.0.1%${shared.port}`];

  test('prints two files as one job, which is listed and removed', async () => {
    const queue = newQueue();
    const files = [randomBytes(100_000), randomBytes(5)];
    const [one, two] = await Promise.all([fileOf(files[0]!, 'one'), fileOf(files[1]!, 'two')]);
    expect(await run(await lprng(lpr), [...to(queue.name), one, two])).toEqual({ status: 0, output: '' });
    expect(await queue.hashes()).toEqual(files.map(hash).sort());
    expect(await queue.titles()).toEqual(['one', 'two']);

    const short = await run(await lprng(lpq), ['-s', ...to(queue.name)]);
    expect(short.output).toMatch(/^1 +\w+ +\d{3} +one, two +100005 bytes$/m);
    const long = await run(await lprng(lpq), ['-l', ...to(queue.name)]);
    expect(long.output).toMatch(/\[job \d{3} localhost\]\n +one +100000 bytes\n +two +5 bytes\n/);

    const removed = await run(await lprng(lprm), [...to(queue.name)]);
    expect(removed.output).toMatch(/^\d{3} dequeued$/m);
    expect(await queue.files()).toEqual([]);
  });

  test('prints from a pipe, of which it announces no size', async () => {
    const queue = newQueue();
    const input = Buffer.concat([Buffer.alloc(3), randomBytes(300_000)]); // zeros at the beginning do not end it
    const { status } = await run(await lprng(lpr), ['-k', ...to(queue.name)], { input });
    expect(status).toBe(0);
    await expect.poll(() => queue.hashes(), patient).toEqual([hash(input)]);
  });

  test('prints 100 MB', async () => {
    const queue = newQueue();
    const bytes = randomBytes(100_000_000);
    const { status } = await run(await lprng(lpr), [...to(queue.name), await fileOf(bytes)]);
    expect(status).toBe(0);
    expect(await queue.hashes()).toEqual([hash(bytes)]);
    const memory = await readFile(`/proc/${shared.child.pid ?? 0}/status`, 'utf8');
    expect(Number(/VmHWM:\s*(\d+) kB/.exec(memory)?.[1])).toBeLessThan(250_000);
  });

  test('is told why its job is refused', async () => {
    const { status, output } = await run(await lprng(lpr), [
      '-P',
      `.hidden@127.0.0.1%${shared.port}`,
      await fileOf(Buffer.alloc(1)),
    ]);
    expect(status).not.toBe(0);
    expect(output).toContain('there is no queue of this name');
  });
});

describeWith("CUPS' lpd backend", ['cups/usr/lib/cups/backend-available/lpd'], ([backend]) => {
  const print = (uri: string, bytes: Uint8Array, paths: string[] = []): Promise<Outcome> =>
    run(backend, ['42', 'ann', 'my title', '1', '', ...paths], {
      env: { DEVICE_URI: `lpd://127.0.0.1:${shared.port}/${uri}` },
      input: bytes,
      sideChannel: true,
    });

  test.each(['', '?order=data,control', '?mode=stream', '?reserve=rfc1179', '?banner=on&format=o'])(
    'prints with the option %j',
    async (option) => {
      const queue = newQueue();
      const bytes = randomBytes(400_000);
      const paths = option === '?mode=stream' ? [] : [await fileOf(bytes)];
      const { status } = await print(`${queue.name}${option}`, bytes, paths);
      expect(status).toBe(0);
      // With `mode=stream` it ends without waiting for an answer.
      await expect.poll(() => queue.hashes(), patient).toEqual([hash(bytes)]);
      expect(await queue.titles()).toEqual(['my title']);
    },
  );
});

describe('the print server', () => {
  test('acknowledges every step, in order, and takes several jobs on one connection', async () => {
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

  test('shows nothing of a job that was cut off, wherever that was', async () => {
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
    'takes a document of %i bytes for one that ends with the connection',
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
    'takes no job for a queue named %j',
    async (name) => {
      const before = await readdir(shared.spool);
      const answer = await answerTo(jobBytes({ queue: name, documents: [Buffer.from('escaped')] }));
      expect(answer).toBe('\x01there is no queue of this name\n');
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
    ['a command that is none', () => 'GET / HTTP/1.0\r\n\r\n', 'this is no command'],
    ['a code that is none', () => '\x09lp\n', 'this is no command'],
    ['a subcommand that is none', (queue: string) => `\x02${queue}\n\x04\n`, 'this is no subcommand'],
    [
      'a data file in the place of a control file',
      (queue: string) => `\x02${queue}\n\x021 dfA042c\n`,
      'this is no subcommand',
    ],
    ['a size that is none', (queue: string) => `\x02${queue}\n\x03-1 dfA042c\n`, 'this is no subcommand'],
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
      'a second job before the first is whole',
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
      'no data file of its job',
    ],
    [
      'a file of another job',
      (queue: string) => `\x02${queue}\n\x0213 cfA042c\nPann\nfdfA043c\0`,
      'no data file of its job',
    ],
  ])('refuses %s, and says why', async (_, bytes, why) => {
    const queue = newQueue();
    const answer = await answerTo(bytes(queue.name));
    const [acknowledged = '', reason] = answer.split('\x01');
    expect(acknowledged.replaceAll(ok, '')).toBe('');
    expect(reason).toContain(why);
    expect(await queue.files()).toEqual([]);
  });

  test('serves a client while two hundred others say nothing', async () => {
    const silent = Array.from({ length: 200 }, dial);
    await Promise.all(silent.map((client) => client.ask('', 0)));
    expect(await answerTo(`\x03${newQueue().name}\n`)).toBe('no entries\n');
    for (const client of silent) client.socket.destroy();
  });

  test('gives up on a command that does not end', async () => {
    const client = dial();
    client.socket.write(`\x02${'x'.repeat(5_000)}`);
    expect((await client.ended).received).toBe('');
  });

  test('removes what the agent may remove, and only on a whole command', async () => {
    const queue = newQueue();
    for (const [number, user] of [
      ['001', 'ann'],
      ['002', 'bob'],
      ['012', 'ann'],
    ] as const) {
      await answerTo(jobBytes({ queue: queue.name, number, user, title: number, documents: [Buffer.from('x')] }));
    }
    expect(await answerTo(`\x05${queue.name} ann 1`)).toBe(''); // of 12, perhaps
    expect(await answerTo(`\x05${queue.name} bob 1 12\n`)).toMatch('nothing was removed');
    expect(await answerTo(`\x05${queue.name} bob ann\n`)).toMatch('nothing was removed');
    expect(await queue.titles()).toEqual(['001', '002', '012']);
    expect(await answerTo(`\x05${queue.name} ann 12\n`)).toBe('012 dequeued\n');
    expect(await answerTo(`\x05${queue.name} bob\n`)).toMatch('nothing was removed'); // the first is not bob's
    expect(await answerTo(`\x05${queue.name} root bob\n`)).toBe('002 dequeued\n');
    expect(await answerTo(`\x05${queue.name} ann\n`)).toBe('001 dequeued\n');
    expect(await answerTo(`\x03${queue.name}\n`)).toBe('no entries\n');
  });

  test('lets nobody remove the jobs of another machine but root of its own', async () => {
    const queue = newQueue();
    await mkdir(queue.folder);
    await writeFile(join(queue.folder, '1-1_042_ann_192.0.2.1_report'), 'report');
    expect(await answerTo(`\x05${queue.name} ann 42\n`)).toMatch('nothing was removed');
    const remote = new PlainClient({ host: '127.0.0.1', port: shared.port, localAddress: '127.0.0.2' });
    expect(await remote.finish(`\x05${queue.name} root 42\n`)).toMatch('nothing was removed');
    expect(await answerTo(`\x05${queue.name} root 42\n`)).toBe('042 dequeued\n');
  });

  test('has nothing to do to print what waits', async () => {
    expect(await answerTo(`\x01${newQueue().name}\n`)).toBe(ok);
  });

  test('refuses a job that the disk has no room for, after all of it has come', async () => {
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

  test('removes at its start what was left unfinished, and nothing else', async () => {
    const spool = await freshFolder();
    await mkdir(join(spool, 'lp'));
    for (const name of ['.1764377701123.partial', '.keep', '1-1_042_ann_localhost_done', 'readme']) {
      await writeFile(join(spool, 'lp', name), '');
    }
    await ownServer(spool);
    expect((await readdir(join(spool, 'lp'))).sort()).toEqual(['.keep', '1-1_042_ann_localhost_done', 'readme']);
  });

  test('finishes at SIGTERM what is arriving, and ends', async () => {
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

  test('ends within ten seconds though a client is stuck, and keeps nothing of its job', async () => {
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

describe('the print client', () => {
  const print = (...args: string[]): Program => example('services/print', ...args);

  /** A server that answers each of the steps with one of these: the command, then two for either file. */
  async function scripted(...answers: string[]): Promise<{ address: string; port: Promise<number | undefined> }> {
    let seen: (port: number | undefined) => void = () => undefined;
    const port = new Promise<number | undefined>((resolve) => {
      seen = resolve;
    });
    const server = net.createServer((socket) => {
      seen(socket.remotePort);
      let step = 0;
      let received = '';
      // What the client sends in each step; neither of these files has a zero byte within.
      const ends = ['\n', '\n', '\0', '\n', '\0'];
      socket.setEncoding('latin1').on('data', (text: string) => {
        received += text;
        for (let end = received.indexOf(ends[step] ?? '?'); end !== -1; end = received.indexOf(ends[step] ?? '?')) {
          received = received.slice(end + 1);
          const answer = answers[step++];
          if (answer === undefined) socket.resetAndDestroy();
          else if (answer === 'end') socket.end();
          else socket.write(answer);
        }
      });
      socket.on('error', () => undefined);
    });
    onTestFinished(() => {
      server.close();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return { address: `tcp://127.0.0.1:${(server.address() as net.AddressInfo).port}`, port };
  }

  test('prints 100 MB over a unix socket on a server of its own kind', async () => {
    const folder = await freshFolder();
    await mkdir(join(folder, 'spool'));
    const server = example('services/print-server', `unix:${join(folder, 'socket')}`, join(folder, 'spool'));
    await server.until(/^unix:.*\n/);
    const bytes = randomBytes(100_000_000);
    const client = print(`unix:${join(folder, 'socket')}`, 'lp', await fileOf(bytes, 'häßlich 1.pdf'));
    expect(await client.ended).toBe(0);
    expect(client.errors).toBe('');
    const queue = new PrintedQueue(join(folder, 'spool'), 'lp');
    expect(await queue.hashes()).toEqual([hash(bytes)]);
    expect(await queue.titles()).toEqual(['häßlich 1.pdf']);
    expect(await server.interrupt('SIGTERM')).toBe(0);
    expect(await readdir(folder)).toEqual(['spool']);
  });

  test('prints an empty file, and one of a byte', async () => {
    const queue = newQueue();
    for (const bytes of [Buffer.alloc(0), Buffer.of(0)]) {
      const client = print(`tcp://127.0.0.1:${shared.port}`, queue.name, await fileOf(bytes));
      expect(await client.ended).toBe(0);
    }
    expect(await queue.hashes()).toEqual([hash(Buffer.alloc(0)), hash(Buffer.of(0))].sort());
  });

  test('comes from a port of RFC 1179 where it may', async () => {
    const { address, port } = await scripted(ok, ok, ok, ok, ok);
    expect(await print(address, 'lp', await fileOf(Buffer.from('x'))).ended).toBe(0);
    const range = Array.from({ length: 11 }, (_, index) => 721 + index);
    if (process.getuid?.() === 0) expect(range).toContain(await port);
    else expect(await port).toBeGreaterThanOrEqual(1_024);
  });

  test('says what to do when the server refuses', async () => {
    const cases: [answers: string[], message: string][] = [
      [['\x01'], 'the server refuses: it does not take jobs for lp; check the name of the queue\n'],
      [['\x01paper\x07 jam\n'], 'the server refuses: paper jam\n'],
      [[ok, ok, '\x02'], 'the server refuses: it does not accept the control file\n'],
      [[ok, ok, ok, '\x01'], 'the server refuses: it does not take 1 bytes; it may be out of space\n'],
      [[ok, ok, ok, ok, '\x01'], 'the server refuses: it could not save the file; it may be out of space\n'],
    ];
    const path = await fileOf(Buffer.from('x'));
    const outcomes = cases.map(async ([answers]) => {
      const client = print((await scripted(...answers)).address, 'lp', path);
      return [await client.ended, client.errors];
    });
    expect(await Promise.all(outcomes)).toEqual(cases.map(([, message]) => [1, message]));
  });

  test('says that the server has gone', async () => {
    const path = await fileOf(Buffer.from('x'));
    const cases = [[], [ok, ok, ok, ok], [ok, ok, ok, ok, 'end']];
    const outcomes = cases.map(async (answers) => {
      const client = print((await scripted(...answers)).address, 'lp', path);
      return [await client.ended, client.errors.replace(/cut|ended/, 'left')];
    });
    for (const [status, errors] of await Promise.all(outcomes)) {
      expect(status).toBe(1);
      expect(errors).toMatch(/^the server left the connection .*: print it again\n$/);
    }
  });

  test('hears of a refusal while it still sends', async () => {
    const { address } = await scripted(ok, ok, ok, `${ok}\x01no space left\n`);
    const client = print(address, 'lp', await fileOf(Buffer.alloc(30_000_000, 'x')));
    expect(await client.ended).toBe(1);
    expect(client.errors).toBe('the server refuses: no space left\n');
  });

  test('prints nothing of a file that grows while it is sent', async () => {
    const queue = newQueue();
    const path = await fileOf(Buffer.alloc(20_000_000, 'x'));
    // In between the client and the server: the file grows once the first of it has come through.
    const between = net.createServer((socket) => {
      const onward = net.connect(shared.port, '127.0.0.1');
      let passed = 0;
      socket.on('error', () => onward.resetAndDestroy()).on('end', () => onward.end());
      onward.on('error', () => undefined).pipe(socket);
      socket.on('data', (chunk) => {
        passed += chunk.length;
        if (passed < 100_000 || passed - chunk.length >= 100_000) onward.write(chunk);
        else {
          socket.pause();
          void appendFile(path, 'y').then(() => {
            onward.write(chunk);
            socket.resume();
          });
        }
      });
    });
    onTestFinished(() => {
      between.close();
    });
    await new Promise<void>((resolve) => between.listen(0, '127.0.0.1', resolve));
    const client = print(`tcp://127.0.0.1:${(between.address() as net.AddressInfo).port}`, queue.name, path);
    expect(await client.ended).toBe(1);
    expect(client.errors).toBe('document changed while it was sent, so it is not printed: print it again\n');
    await expect.poll(() => queue.files(), patient).toEqual([]);
  });

  test('says that nobody listens', async () => {
    const client = print(`unix:${join(await freshFolder(), 'socket')}`, 'lp', await fileOf(Buffer.from('x')));
    expect(await client.ended).toBe(1);
    expect(client.errors).toMatch(
      /^nobody listens at unix:.*: check the address, and whether the print server runs\n$/,
    );
  });

  test('shows its usage for bad arguments', async () => {
    const bad = [
      ['nowhere', 'lp', 'package.json'],
      ['unix:x', 'lp', 'nowhere'],
    ];
    const clients = bad.map((args) => print(...args));
    expect(await Promise.all(clients.map(({ ended }) => ended))).toEqual([2, 2]);
    for (const { errors } of clients) {
      expect(errors).toContain('usage: npm run example -- print.ts ADDRESS QUEUE FILE');
    }
  });
});

describeWith("LPRng's lpd", ['lprng/usr/sbin/lpd'], ([lpd]) => {
  test('takes a job of the print client, and refuses one for a queue that it does not have', async () => {
    const spool = await freshFolder();
    await lprngSpool(spool);
    const isRoot = process.getuid?.() === 0;
    for (const path of isRoot ? [spool, join(spool, 'lp'), join(spool, 'lp/control.pr')] : []) await chown(path, 1, 1);
    spawn(await lprng(lpd, spool), ['-F', '-p', 'off'], { stdio: 'ignore' });
    onTestFinished(() => endDaemon(spool));
    const address = `unix:${join(spool, 'socket')}`;
    await expect.poll(() => readdir(spool), { timeout: 10_000 }).toContain('socket');
    const bytes = randomBytes(1_000_000);
    const path = await fileOf(bytes);
    const client = example('services/print', address, 'lp', path);
    expect([await client.ended, client.errors]).toEqual([0, '']);
    const queue = new PrintedQueue(spool, 'lp');
    expect(await queue.hashes()).toContain(hash(bytes));

    const refused = example('services/print', address, 'attic', path);
    expect(await refused.ended).toBe(1);
    expect(refused.errors).toMatch(/^the server refuses: .*attic/);
  });
});
