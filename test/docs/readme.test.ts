import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import { program } from '../examples/program.js';
import { blocksOf, install } from '../support/docs/code-blocks.js';

test("the README's example does what the README says", async () => {
  const blocks = await blocksOf('README.md');
  expect(blocks).toHaveLength(1);
  const [example = ''] = blocks;
  const address = `tcp://localhost:${await freePort()}`;
  const folder = await install(new Map([['readme.ts', example.replaceAll('tcp://localhost:7000', address)]]));
  const running = program([join(folder, 'readme.ts')]);
  await running.until(/^hello$/m);
});

test('the README names the installed and measured versions', async () => {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const minor = (name: 'rxjs' | 'split2' | 'effect' | 'ws'): string =>
    manifest.devDependencies[name].split('.', 2).join('.');
  const [rxjs, split2, effect, ws] = [minor('rxjs'), minor('split2'), minor('effect'), minor('ws')];
  expect(readme).toContain(`Compared with Node 20, RxJS ${rxjs}, split2 ${split2}, Effect ${effect} and ws ${ws}.`);
});

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, 'localhost');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
