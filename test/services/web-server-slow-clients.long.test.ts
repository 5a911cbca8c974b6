import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseAddress } from 'rxjs-sockets';
import { expect, onTestFinished, test } from 'vitest';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { everything, get, index, openFiles, site, webServer } from '../support/services/web-site.js';

// This test only waits. It is in a separate file, so that it runs at the same time as other tests.
test('web-server.ts drops every slow client', { timeout: 60_000 }, async () => {
  const folder = await site();
  await writeFile(join(folder, 'large.bin'), Buffer.alloc(20_000_000));
  const { address, server } = await webServer(folder);
  const at = parseAddress(address);
  const [silent, dripping, idle, stalled] = [
    await rawClient(at),
    await rawClient(at),
    await rawClient(at),
    await rawClient(at),
  ];
  dripping.write('GET / HTTP/1.1\r\nX: ');
  const drip = setInterval(() => dripping.write('x'), 500);
  onTestFinished(() => clearInterval(drip));
  idle.write(get('/'));
  stalled.write(get('/large.bin'));
  await expect.poll(() => openFiles(server, folder)).toBe(1);

  expect(await everything(idle)).toContain(index);
  expect(await everything(silent)).toContain('HTTP/1.1 408 ');
  expect(await everything(dripping)).toContain('HTTP/1.1 408 ');
  await expect.poll(() => openFiles(server, folder), { timeout: 40_000, interval: 500 }).toBe(0);
});
