import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { describeWith } from '../support/processes/programs.js';
import { hash, jobBytes, lprng, type Outcome, run } from '../support/services/printing.js';
import {
  fileOf,
  newQueue,
  shared,
  patient,
  answerTo,
  startShared,
  stopShared,
} from '../support/services/shared-print-server.js';

// Each test starts all of its programs at the same time, so a test can be slow.
vi.setConfig({ testTimeout: 60_000 });

beforeAll(startShared);
afterAll(stopShared);

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

  test('prints several files, one of them empty', async () => {
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

  test('lists jobs, and lets their owner remove them', async () => {
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

    // The client names the user that runs it. That user is root, who may remove every job of this machine.
    await run(rlprm, [...options(queue.name), '7']);
    expect(await queue.titles()).toEqual(['plan']);
  });
});

describeWith('LPRng', ['lprng/usr/bin/lpr', 'lprng/usr/bin/lpq', 'lprng/usr/bin/lprm'], ([lpr, lpq, lprm]) => {
  const to = (queue: string): string[] => ['-P', `${queue}@127.0.0.1%${shared.port}`];

  test('prints two files as one job, lists the job and removes it', async () => {
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

  test('prints from a pipe, without announcing a size', async () => {
    const queue = newQueue();
    const input = Buffer.concat([Buffer.alloc(3), randomBytes(300_000)]); // Leading zero bytes do not end the document.
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

  test('shows why its job is refused', async () => {
    const { status, output } = await run(await lprng(lpr), [
      '-P',
      `.hidden@127.0.0.1%${shared.port}`,
      await fileOf(Buffer.alloc(1)),
    ]);
    expect(status).not.toBe(0);
    expect(output).toContain('no queue has this name');
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
      // With `mode=stream`, the backend ends without waiting for an answer.
      await expect.poll(() => queue.hashes(), patient).toEqual([hash(bytes)]);
      expect(await queue.titles()).toEqual(['my title']);
    },
  );
});
