import { closeSync, openSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { nothingLeftOf } from './nothing-left.js';

describe('nothingLeftOf', () => {
  it('reports a timer that was left behind', async () => {
    let timer: NodeJS.Timeout | undefined;
    const leaving = nothingLeftOf(async () => {
      timer = setTimeout(() => undefined, 60_000);
    }, 5);
    await expect(leaving).rejects.toThrow('Timeout');
    clearTimeout(timer);
  });

  it('reports a descriptor that was left behind', async () => {
    let fd = -1;
    const leaving = nothingLeftOf(async () => {
      fd = openSync('/dev/null', 'r');
    }, 5);
    await expect(leaving).rejects.toThrow('1 descriptors');
    closeSync(fd);
  });

  it('reports an object that is still referenced', async () => {
    const kept: object[] = [];
    const leaving = nothingLeftOf(async (mark) => {
      kept.push(mark(new Map()));
    }, 5);
    await expect(leaving).rejects.toThrow('Map');
    expect(kept).toHaveLength(1);
  });

  it('resolves if nothing was left behind', async () => {
    await nothingLeftOf(async (mark) => {
      mark(new Map());
    });
  });
});
