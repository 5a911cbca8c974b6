import { execFile, execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { formatAddress } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { realPlaces } from '../support/transport/places.js';
import { onStage } from './stage.js';

const run = promisify(execFile);
const starved = fileURLToPath(new URL('./starved.ts', import.meta.url));
const severed = fileURLToPath(new URL('./severed.ts', import.meta.url));
const node = `exec "${process.execPath}" --import tsx --conditions=rxjs-sockets-source`;

/** Runs the commands in `before`, then a program, in a shell. Returns the output. The program has to end by itself. */
async function output(shell: readonly string[], before: string, program: string, argument = ''): Promise<unknown> {
  const [command, ...rest] = shell;
  const line = `${before} ${node} "${program}" "$1"`;
  const { stdout } = await run(command!, [...rest, '-c', line, 'sh', argument], { timeout: 15_000 });
  return JSON.parse(stdout) as unknown;
}

describe.each(realPlaces)('a client over $name without free descriptors', (place) => {
  it('K5: fails with EMFILE, dials again, and connects once descriptors are free', () =>
    onStage(place, async (stage) => {
      const { address } = await stage.server<string, string>(({ data }) => data.subscribe(data), { codec: lines() });
      expect(await output(['sh'], 'ulimit -n 64;', starved, formatAddress(address))).toEqual({
        events: ['connecting', 'EMFILE', 'waiting', 'connecting', 'EMFILE', 'waiting', 'connecting', 'connected'],
        line: 'hello',
      });
    }));
});

describe('a client whose interface is taken down and up again', () => {
  const hindrance = whyNotSevered();
  if (hindrance !== undefined) console.log(`not tested: an interface taken down: ${hindrance}`);

  it.skipIf(hindrance !== undefined)(
    'K4: times out, fails to dial without a network, and connects once the interface is up',
    async () => {
      const { events, lines: answers } = (await output(['unshare', '-rn', 'sh'], '', severed)) as {
        events: string[];
        lines: string[];
      };
      expect(events[0]).toBe('ERR_TIMEOUT_IDLE');
      expect(['ENETUNREACH', 'EADDRNOTAVAIL', 'ERR_TIMEOUT_CONNECT']).toContain(events[1]);
      expect(answers).toEqual(['question 1', 'question 2']);
    },
  );
});

/** Returns why this machine cannot create the network namespace of the test. */
function whyNotSevered(): string | undefined {
  try {
    execFileSync('unshare', ['-rn', 'ip', 'link', 'set', 'lo', 'up'], { stdio: 'pipe' });
    return undefined;
  } catch (error) {
    return (error as Error).message.trim();
  }
}
