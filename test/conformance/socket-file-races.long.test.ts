import { fork } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, lstatSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { succeeds } from '../support/processes/succeeds.js';
import { freshFolder } from '../support/transport/places.js';
import { makeStale } from '../support/transport/node/unix/socket-files.js';
import { starter, starters, listenerPid } from '../support/transport/node/unix/listener-process.js';

const isRoot = process.getuid?.() === 0;
const nobody = 65_534;
const canIsolate = isRoot && succeeds('unshare', '--net', 'true');

describe('a race for a socket file', () => {
  it(
    'S8: if eight processes simultaneously listen at one path, with or without a stale file, exactly one succeeds',
    { timeout: 120_000 },
    async () => {
      const folder = await freshFolder();
      const path = join(folder, 'socket');
      const racers = await starters(8);
      for (let round = 0; round < 25; round++) {
        if (round % 5 > 0) await makeStale(path);
        const answers = await Promise.all(racers.map((racer) => racer.listen(path)));
        expect(answers.toSorted(), `round ${round}`).toEqual([...Array<string>(7).fill('EADDRINUSE'), 'ok']);
        const winner = racers[answers.indexOf('ok')];
        expect(await listenerPid(path)).toBe(winner?.pid);
        expect(readdirSync(folder)).toEqual(['socket']);
        await winner?.stop();
        expect(readdirSync(folder)).toEqual([]);
      }
    },
  );

  it(
    'S8: each time the process that listens has crashed, exactly one of the other processes succeeds in listening',
    { timeout: 120_000 },
    async () => {
      const folder = await freshFolder();
      const path = join(folder, 'socket');
      const racers = await starters(6);
      while (racers.length > 0) {
        const answers = await Promise.all(racers.map((racer) => racer.listen(path)));
        expect(answers.filter((answer) => answer === 'ok')).toHaveLength(1);
        const [winner] = racers.splice(answers.indexOf('ok'), 1);
        expect(await listenerPid(path)).toBe(winner?.pid);
        await winner?.kill();
        expect(readdirSync(folder)).toEqual(['socket']);
      }
    },
  );

  // The lock of a path is an abstract name. Each network namespace has its own abstract names. So processes in
  // different network namespaces, such as those of two containers, share no lock.
  it.skipIf(!canIsolate)(
    'S8: of two processes in different network namespaces, exactly one listens',
    { timeout: 120_000 },
    async () => {
      const folder = await freshFolder();
      const path = join(folder, 'socket');
      const racers = await Promise.all([starter(true), starter(true)]);
      for (let round = 0; round < 30; round++) {
        await makeStale(path);
        const answers = await Promise.all(racers.map((racer) => racer.listen(path)));
        expect(answers.toSorted(), `round ${round}`).toEqual(['EADDRINUSE', 'ok']);
        const winner = racers[answers.indexOf('ok')];
        expect(await listenerPid(path)).toBe(winner?.pid);
        await winner?.stop();
        expect(readdirSync(folder)).toEqual([]);
      }
    },
  );

  it('S8: if four threads of a process listen at one path, exactly one succeeds', { timeout: 120_000 }, async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    for (let round = 0; round < 2; round++) {
      if (round > 0) await makeStale(path);
      const workers = Array.from({ length: 4 }, () => workerAt(path));
      const answers = await Promise.all(
        workers.map(async (worker) => ((await once(worker, 'message')) as [string])[0]),
      );
      expect(answers.toSorted(), `round ${round}`).toEqual([...Array<string>(3).fill('EADDRINUSE'), 'ok']);
      expect(lstatSync(path).mode & 0o777).toBe(0o640);
      expect(readdirSync(folder)).toEqual(['socket']);
      const winner = workers[answers.indexOf('ok')]!;
      const stopped = once(winner, 'message');
      winner.postMessage('stop');
      await stopped;
      expect(readdirSync(folder)).toEqual([]);
      await Promise.all(workers.map((worker) => worker.terminate()));
    }
  });
});

describe('an intruder that watches the folder of a socket file', () => {
  it.each([
    [0o000, 0o600],
    [0o000, 0o660],
    [0o077, 0o600],
    [0o077, 0o666],
  ])(
    'S9: with umask %o and mode %o, the intruder never sees wider permissions than this mode, and never connects without permission',
    { timeout: 120_000 },
    async (umask, mode) => {
      const folder = await freshFolder();
      const elsewhere = await freshFolder();
      chmodSync(folder, 0o777);
      const server = await starter();
      await server.umask(umask);
      const intruder = await intruderAt(folder);
      for (let round = 0; round < 20; round++) {
        const path = join(folder, `socket-${round}`);
        if (round % 2 === 1) {
          await makeStale(join(elsewhere, 'stale'), mode);
          renameSync(join(elsewhere, 'stale'), path);
        }
        expect(await server.listen(path, { mode })).toBe('ok');
        await intruder.sees(path);
        await server.stop();
      }
      const { modes, connected, entered } = await intruder.report();
      expect(modes.filter((seen) => seen !== 'folder 700')).toEqual([`socket ${mode.toString(8)}`]);
      if (isRoot) expect(entered).toEqual([]);
      if (isRoot && mode !== 0o666) expect(connected).toEqual([]);
    },
  );

  it('S9: a user can connect if the mode of the file permits it', { timeout: 40_000 }, async () => {
    const folder = await freshFolder();
    chmodSync(folder, 0o777);
    const server = await starter();
    const intruder = await intruderAt(folder);
    // The intruder tries to connect to each file, and succeeds if the mode of the file permits it.
    const open = join(folder, 'open');
    expect(await server.listen(open, { mode: 0o666 })).toBe('ok');
    await expect.poll(async () => (await intruder.report()).connected).toContain(open);
  });
});

function workerAt(path: string): Worker {
  const worker = new Worker(new URL('../support/transport/node/unix/listener-thread.mjs', import.meta.url), {
    workerData: path,
  });
  onTestFinished(async () => {
    await worker.terminate();
  });
  return worker;
}

interface Report {
  readonly connected: string[];
  readonly entered: string[];
  readonly modes: string[];
}

/** Starts a process of another user that watches `folder`, and tries to connect to each file in it. */
async function intruderAt(folder: string): Promise<{ sees(path: string): Promise<void>; report(): Promise<Report> }> {
  const program = fileURLToPath(new URL('../support/transport/node/unix/intruder.mjs', import.meta.url));
  const child = fork(program, [folder, String(isRoot ? nobody : process.getuid?.())], { execArgv: [] });
  onTestFinished(async () => {
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  });
  await once(child, 'message');
  const ask = async <T>(question: object): Promise<T> => {
    const answer = once(child, 'message') as Promise<[T]>;
    child.send(question);
    return (await answer)[0];
  };
  return { sees: (path) => ask({ see: path }), report: () => ask({}) };
}
