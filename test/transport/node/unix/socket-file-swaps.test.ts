import type * as fs from 'node:fs';
import { readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { listen } from 'rxjs-sockets';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import '../../../support/leaks.js';
import { freshFolder } from '../../../support/transport/places.js';
import { makeStale, outcome, plainServer, started } from '../../../support/transport/node/unix/socket-files.js';
import { listenerPid } from '../../../support/transport/node/unix/listener-process.js';
import { turns } from '../../../support/scheduling/event-loop.js';

// Each hook acts like another process that runs between two steps of the library. A hook runs once. A hook that takes
// a path gets the path of the step.
const hooks = vi.hoisted(() => ({
  beforeRename: undefined as ((path: string) => void) | undefined,
  beforeLink: undefined as ((path: string) => void) | undefined,
  afterMkdir: undefined as ((path: string) => void) | undefined,
  beforeLock: undefined as (() => void) | undefined,
  hasProc: true,
}));

vi.mock('node:fs', async (importOriginal) => {
  const real = await importOriginal<typeof fs>();
  return {
    ...real,
    existsSync: (path: string) => (hooks.hasProc || !path.startsWith('/proc/')) && real.existsSync(path),
    renameSync(from: string, to: string): void {
      const hook = hooks.beforeRename;
      hooks.beforeRename = undefined;
      hook?.(from);
      real.renameSync(from, to);
    },
    linkSync(from: string, to: string): void {
      const hook = from.endsWith('/aside') ? hooks.beforeLink : undefined;
      if (hook !== undefined) hooks.beforeLink = undefined;
      hook?.(from);
      real.linkSync(from, to);
    },
    // The library calls `statSync` to name the lock after the folder.
    statSync(...args: Parameters<typeof real.statSync>): unknown {
      const hook = hooks.beforeLock;
      hooks.beforeLock = undefined;
      hook?.();
      return real.statSync(...args);
    },
    mkdirSync(path: string, mode: number): void {
      real.mkdirSync(path, mode);
      const hook = hooks.afterMkdir;
      hooks.afterMkdir = undefined;
      hook?.(path);
    },
  };
});

const { renameSync: realRename, mkdirSync: realMkdir } = await vi.importActual<typeof fs>('node:fs');

/** A fresh folder, which contains a stale socket file at `path`. */
let folder: string;
let path: string;

beforeEach(async () => {
  folder = await freshFolder();
  path = join(folder, 'socket');
  await makeStale(path);
  onTestFinished(() => {
    Object.assign(hooks, { beforeRename: undefined, beforeLink: undefined, afterMkdir: undefined, hasProc: true });
    hooks.beforeLock = undefined;
  });
});

describe('a file that replaces the stale socket file just before the server removes the stale file', () => {
  it('S8: if the new file is a plain file, the server puts it back', async () => {
    hooks.beforeRename = () => {
      rmSync(path);
      writeFileSync(path, 'precious');
    };
    expect(await outcome(path)).toBe('ERR_NOT_A_SOCKET');
    expect(readFileSync(path, 'utf8')).toBe('precious');
    expect(readdirSync(folder)).toEqual(['socket']);
  });

  it('S8: if the new file is a folder, the server puts it back', async () => {
    hooks.beforeRename = () => {
      rmSync(path);
      realMkdir(path);
      writeFileSync(join(path, 'file'), 'precious');
    };
    expect(await outcome(path)).toBe('ERR_NOT_A_SOCKET');
    expect(readFileSync(join(path, 'file'), 'utf8')).toBe('precious');
    expect(readdirSync(folder)).toEqual(['socket']);
  });

  it('S8: if the new file is a symbolic link, the server puts it back', async () => {
    hooks.beforeRename = () => {
      rmSync(path);
      symlinkSync('nothing', path);
    };
    expect(await outcome(path)).toBe('ERR_NOT_A_SOCKET');
    expect(readlinkSync(path)).toBe('nothing');
    expect(readdirSync(folder)).toEqual(['socket']);
  });

  it('S8: if the new file is a live socket, the server puts it back', async () => {
    const live = await liveSocket();
    hooks.beforeRename = () => realRename(live, path);
    expect(await outcome(path)).toBe('EADDRINUSE');
    expect(await listenerPid(path)).toBe(process.pid);
    expect(readdirSync(folder)).toEqual(['socket']);
  });

  it('S8: if the new file is another stale socket, the server puts it back, then replaces it', async () => {
    await makeStale(`${path}.other`);
    hooks.beforeRename = () => realRename(`${path}.other`, path);
    expect(await outcome(path)).toBe('ok');
    expect(readdirSync(folder)).toEqual(['socket']);
  });

  it('S8: if another process removes the stale file and creates no new file, the server listens', async () => {
    hooks.beforeRename = () => rmSync(path);
    expect(await outcome(path)).toBe('ok');
    expect(readdirSync(folder)).toEqual(['socket']);
  });

  it('S8: if the new file can no longer be put back, it is kept in another place, which the error names', async () => {
    const live = await liveSocket();
    hooks.beforeRename = () => {
      rmSync(path);
      writeFileSync(path, 'precious');
    };
    hooks.beforeLink = () => realRename(live, path);
    const error = await started(path).catch((cause: unknown) => cause as Error);
    expect(error).toMatchObject({ code: 'EADDRINUSE' });
    const aside = /\/\S+\/aside/.exec((error as Error).message)?.[0] ?? '';
    expect(readFileSync(aside, 'utf8')).toBe('precious');
    expect(await listenerPid(path)).toBe(process.pid);
  });
});

describe('a server in a folder that other users can write to', () => {
  it('S9: the server binds nothing in a folder that has replaced the private folder of the server', async () => {
    const trap = join(folder, 'trap');
    realMkdir(trap, 0o777);
    hooks.afterMkdir = (made) => {
      realRename(made, `${made}.gone`);
      realRename(trap, made);
    };
    expect(await outcome(path)).toBe('EPERM');
    for (const name of readdirSync(folder)) if (name !== 'socket') expect(readdirSync(join(folder, name))).toEqual([]);
  });

  it('S9: the server binds nothing behind a symbolic link that has replaced the private folder of the server', async () => {
    const trap = await freshFolder();
    hooks.afterMkdir = (made) => {
      realRename(made, `${made}.gone`);
      symlinkSync(trap, made);
    };
    expect(await outcome(path)).toMatch(/^(ENOTDIR|ELOOP)$/);
    expect(readdirSync(trap)).toEqual([]);
  });
});

it('S1: if you unsubscribe from a server after the removal of the stale file, the server leaves no file', async () => {
  const subscription = listen({ path }).subscribe();
  const asked = new Promise<void>((resolve) => {
    // The first call of `statSync` checks the library's new folder. The second call is the one before the lock.
    hooks.beforeLock = () => {
      hooks.beforeLock = () => {
        rmSync(path);
        subscription.unsubscribe();
        resolve();
      };
    };
  });
  await asked;
  await expect.poll(() => readdirSync(folder)).toEqual([]);
  await turns();
  expect(readdirSync(folder)).toEqual([]);
});

it('S8: without /proc, a server binds the given path directly, and removes its socket file', async () => {
  hooks.hasProc = false;
  const stop = await started(path);
  expect(readdirSync(folder)).toEqual(['socket']);
  expect(await outcome(path)).toBe('EADDRINUSE');
  stop();
  expect(readdirSync(folder)).toEqual([]);
});

/** Returns the path of a socket file on which this process listens. */
async function liveSocket(): Promise<string> {
  const live = join(await freshFolder(), 'live');
  await plainServer(live);
  return live;
}
