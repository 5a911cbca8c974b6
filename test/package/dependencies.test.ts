import { execFile } from 'node:child_process';
import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { minVersion, satisfies } from 'semver';
import { describe, expect, it } from 'vitest';
import lock from '../../package-lock.json' with { type: 'json' };
import manifest from '../../package.json' with { type: 'json' };
import { freshFolder } from '../support/transport/places.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Locked {
  readonly engines?: { readonly node?: string };
  readonly deprecated?: string;
}

const packages = Object.entries(lock.packages as Record<string, Locked>);
const oldest = minVersion(manifest.engines.node)?.version ?? '';
/** The oldest supported Node, and the later lines with long-term support. */
const versions = [oldest, '22.13.0', '24.0.0', '26.0.0'];

describe('what `npm ci` installs', () => {
  it('runs on the oldest Node that the README promises', async () => {
    const readme = await readFile(join(root, 'README.md'), 'utf8');
    const [, promised, second] = /needs Node (\d+\.\d+),\s+(\d+\.\d+) or a later/.exec(readme) ?? [];
    expect(manifest.engines.node).toBe(`^${promised}.0 || >=${second}.0`);
  });

  it.each(versions)('runs on Node %s', (version) => {
    const refused = packages.filter(([, { engines }]) => !satisfies(version, engines?.node ?? '*'));
    expect(refused.map(([name, { engines }]) => `${name}: ${engines?.node}`)).toEqual([]);
  });

  it('is not deprecated', () => {
    expect(packages.filter(([, { deprecated }]) => deprecated !== undefined)).toEqual([]);
  });

  it('causes no warning', async () => {
    const cwd = await freshFolder();
    for (const file of ['package.json', 'package-lock.json', '.npmrc'])
      await copyFile(join(root, file), join(cwd, file));
    // The settings of the npm that runs this test must not apply.
    const own = Object.entries(process.env).filter(([name]) => !name.startsWith('npm_config_'));
    const env = { ...Object.fromEntries(own), npm_config_loglevel: 'warn', npm_config_cache: join(cwd, 'cache') };
    const { stderr } = await promisify(execFile)('npm', ['ci', '--dry-run', '--offline'], { cwd, env });
    expect(stderr).toBe('');
  });
});
