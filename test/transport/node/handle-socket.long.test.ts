import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import '../../support/leaks.js';
import { freshFolder } from '../../support/transport/places.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const fuzzer = join(root, 'test/support/transport/node/handle-fuzzer.ts');
const node = ['--expose-gc', '--import', import.meta.resolve('tsx'), '--conditions=rxjs-sockets-source', fuzzer];
const steps = process.env['HANDLE_STEPS'] ?? '30000';

describe('random operations on accepted handles', () => {
  it.each(['tcp', 'unix'])(
    'neither crash the process nor leave a handle open, and no byte is lost, over %s',
    async (transport) => {
      const address = transport === 'tcp' ? 'tcp://127.0.0.1:0' : `unix:${join(await freshFolder(), 'socket')}`;
      const seed = String(Math.floor(Math.random() * 2 ** 31));
      const { stdout, stderr } = await promisify(execFile)(process.execPath, [...node, address, seed, steps]);
      expect(stderr, `seed ${seed}`).toBe('');
      const result = JSON.parse(stdout) as { steps: number; handshakes: number; left: number; heap: number };
      expect(result.steps).toBeGreaterThanOrEqual(Number(steps));
      expect(result.handshakes).toBeGreaterThan(0);
      expect(result.left, `seed ${seed}`).toBe(0);
      // The program itself takes about 11 MB.
      expect(result.heap, `seed ${seed}`).toBeLessThan(20_000_000);
    },
    3_600_000,
  );
});
