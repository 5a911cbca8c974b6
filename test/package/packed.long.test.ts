import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { anchorsOf, linksOf } from '../support/docs/markdown.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const npm = { cwd: root, env: { ...process.env, npm_config_loglevel: 'error' } };

interface Packed {
  filename: string;
  size: number;
  unpackedSize: number;
  files: { path: string; size: number }[];
}

const echo = `
import { createRequire } from 'node:module';
import { connect, listen } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { memoryTransport } from 'rxjs-sockets/testing';

const options = { codec: lines(), ...(process.argv[2] === 'memory' ? { transport: memoryTransport() } : {}) };
const server = listen(process.argv[2] === 'memory' ? 'memory:echo' : 'tcp://localhost:0', options);
const serving = server.subscribe(({ data }) => data.subscribe(data));
server.listening.subscribe((address) => {
  const client = connect(address, options);
  client.data.subscribe({ next: (line) => console.log(line), complete: () => serving.unsubscribe() });
  client.data.next('hello');
  client.data.complete();
});
// From Node 20.19 on a CommonJS program can load it as well.
if (createRequire(import.meta.url)('rxjs-sockets').listen !== listen) throw new Error('two copies');
`;

const program = `
import { connect, type Flow } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { map } from 'rxjs';
const client = connect('tcp://localhost:7000', { codec: lines() });
export const lengths: Flow<number> = client.data.pipe(map((line) => line.length));
client.data.next('text');
// @ts-expect-error a channel of lines sends no numbers
client.data.next(1);
`;

describe('the packed package', () => {
  let project: string;
  let packed: Packed;

  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), 'rxjs-sockets-'));
    const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', project], npm);
    [packed] = JSON.parse(stdout) as [Packed];
    await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'user', private: true, type: 'module' }));
    const { devDependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
      devDependencies: Record<string, string>;
    };
    const install = ['install', '--no-audit', '--no-fund', join(project, packed.filename)];
    for (const name of ['rxjs', '@types/node']) install.push(`${name}@${devDependencies[name]}`);
    await run('npm', install, { ...npm, cwd: project });
    return () => rm(project, { recursive: true, force: true });
  }, 120_000);

  it('loads no module of Node that it does not need', async () => {
    const modules = packed.files.map(({ path }) => path).filter((path) => path.endsWith('.js'));
    expect(modules).toContain('dist/index.js');
    for (const path of modules) {
      const text = await readFile(join(project, 'node_modules/rxjs-sockets', path), 'utf8');
      expect(text).not.toMatch(/(from|import)\s*"node:/);
    }
  });

  it.each(['tcp', 'memory'])('runs an echo in an empty project (%s)', async (transport) => {
    const file = join(project, `echo-${transport}.js`);
    await writeFile(file, echo);
    const { stdout, stderr } = await run(process.execPath, [file, transport]);
    expect(stdout).toBe('hello\n');
    expect(stderr).toBe('');
  });

  it('type-checks strictly in an empty project', async () => {
    await writeFile(join(project, 'program.ts'), program);
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', '--types', 'node'];
    const tsc = join(root, 'node_modules/.bin/tsc');
    // The compiler's messages are in `stdout`, even when it fails.
    const said = await run(process.execPath, [tsc, ...options, 'program.ts'], { cwd: project }).catch(
      (error: unknown) => error,
    );
    expect(said).toMatchObject({ stdout: '' });
  }, 60_000);

  it('contains what users need and nothing else', () => {
    const paths = packed.files.map((file) => file.path);
    for (const path of ['README.md', 'LICENSE', 'CHANGELOG.md', 'SECURITY.md', 'dist/index.js', 'dist/index.d.ts']) {
      expect(paths).toContain(path);
    }
    const folders = /^(dist|src|examples|docs\/performance)\/|^docs\/[^/]+\.md$/;
    const files = /^(package\.json|README\.md|LICENSE|CHANGELOG\.md|SECURITY\.md)$/;
    expect(paths.filter((path) => !folders.test(path) && !files.test(path))).toEqual([]);
  });

  it('is small to download, and less than a third of it is documentation', () => {
    expect(packed.size).toBeLessThan(650_000);
    const explaining = packed.files.filter(({ path }) => /^(docs|examples)\/|\.md$/.test(path));
    const bytes = (files: readonly { size: number }[]): number => files.reduce((sum, { size }) => sum + size, 0);
    expect(bytes(explaining)).toBeLessThan(bytes(packed.files) / 3);
  });

  it('contains every page and file that its own pages link to', async () => {
    const paths = packed.files.map(({ path }) => path);
    const pages = paths.filter((path) => path.endsWith('.md'));
    const read = (page: string): Promise<string> => readFile(join(project, 'node_modules/rxjs-sockets', page), 'utf8');
    const texts = new Map(await Promise.all(pages.map(async (page) => [page, await read(page)] as const)));
    const leadsNowhere = (page: string, link: string): boolean => {
      if (URL.canParse(link)) return !link.startsWith('https://');
      const [file = '', anchor] = link.split('#');
      const path = file === '' ? page : posix.normalize(posix.join(posix.dirname(page), file));
      if (!paths.includes(path)) return true;
      return anchor !== undefined && !anchorsOf(texts.get(path) ?? '').includes(anchor);
    };
    const links = [...texts].flatMap(([page, text]) => linksOf(text).map((link) => ({ page, link })));
    expect(links.length).toBeGreaterThan(50);
    expect(links.filter(({ page, link }) => leadsNowhere(page, link))).toEqual([]);
  });

  it('has no dependency of its own', async () => {
    const { dependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
      dependencies?: object;
    };
    expect(dependencies).toBeUndefined();
  });
});
