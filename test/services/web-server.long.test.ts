import { once } from 'node:events';
import { statSync } from 'node:fs';
import { chmod, mkdir, readFile, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { parseAddress } from 'rxjs-sockets';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { answer } from '../../examples/services/web/file-handler.js';
import { Folder } from '../../examples/services/web/folder.js';
import { program } from '../examples/program.js';
import { freshFolder } from '../support/transport/places.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { Picture } from '../support/services/png.js';
import { describeWith } from '../support/processes/programs.js';
import {
  ask,
  everything,
  get,
  index,
  memory,
  openFiles,
  run,
  sha256,
  site,
  start,
  text,
  webServer,
  writeRandom,
} from '../support/services/web-site.js';

vi.setConfig({ testTimeout: 60_000 }); // Each test starts one program or more.

describe('web-server.ts', () => {
  test('shows its usage for bad arguments, and says what prevents it from listening', async () => {
    const folder = await freshFolder();
    const usage = /usage: npm run example -- web-server\.ts ADDRESS FOLDER/;
    const bad = [[], ['tcp://127.0.0.1:0', join(folder, 'missing')], ['nonsense://x', folder]].map((args) =>
      program(['examples/services/web-server.ts', ...args]),
    );
    const elsewhere = program(['examples/services/web-server.ts', `unix:${join(folder, 'missing', 'socket')}`, folder]);
    expect(await elsewhere.ended).toBe(1);
    expect(elsewhere.errors).toContain('ENOENT');
    for (const { ended } of bad) expect(await ended).toBe(2);
    for (const { errors } of bad) expect(errors).toMatch(usage);
  });

  test('serves nothing outside its folder, and nothing hidden', async () => {
    const outside = await freshFolder();
    const folder = join(outside, 'site');
    await mkdir(join(folder, 'sub'), { recursive: true });
    await mkdir(join(outside, 'site-secret'));
    for (const name of ['secret.txt', 'site-secret/secret.txt', 'site/.env', 'site/sub/.htaccess']) {
      await writeFile(join(outside, name), 'SECRET');
    }
    await writeFile(join(folder, 'index.html'), index);
    await writeFile(join(folder, 'sub', 'page.html'), index);
    await symlink(join(outside, 'secret.txt'), join(folder, 'link.txt'));
    await symlink('../secret.txt', join(folder, 'relative.txt'));
    await symlink(outside, join(folder, 'up'));
    await symlink('/proc/self', join(folder, 'proc'));
    await symlink('sub', join(folder, 'alias'));
    await symlink('loop', join(folder, 'loop'));
    const { address } = await webServer(folder);

    const refused = [
      ...['/../secret.txt', '/sub/../../secret.txt', '/..', '/../', '/.', '/sub/..', '//../secret.txt'],
      ...['/%2e%2e/secret.txt', '/%2E%2E%2Fsecret.txt', '/..%2fsecret.txt', '/sub/..%2f..%2fsecret.txt', '/%2e%2e'],
      ...['/%252e%252e/secret.txt', '/..%5csecret.txt', '/..\\secret.txt', '/.%00./secret.txt', '/index.html%00.png'],
      ...['/%2fetc/passwd', '//etc/passwd', `/${outside}/secret.txt`, `/%2f${outside.slice(1)}/secret.txt`],
      ...['/../site-secret/secret.txt', '/up/secret.txt', '/up/site-secret/secret.txt', '/link.txt', '/relative.txt'],
      ...['/proc/environ', '/proc/cwd/package.json', '/loop', '/loop/x', '/.env', '/sub/.htaccess', '/%2eenv'],
      ...[
        'http://test/../secret.txt',
        'http://test/%2e%2e/secret.txt',
        'file:///etc/passwd',
        '/%c0%ae%c0%ae/secret.txt',
      ],
      ...['/%', '/%zz', '/%ff', '*', '/index.html/', '/sub/', `/${'x'.repeat(300)}`, `/${'x/'.repeat(3_000)}`],
    ];
    for (const path of refused) {
      const { status, body } = await ask(address, get(path, 'Connection: close\r\n'));
      expect([400, 404], path).toContain(status);
      expect(body, path).not.toContain('SECRET');
      expect(body, path).not.toContain('root:');
    }
    // The server continues, and follows links within the folder.
    for (const path of [
      '/',
      '/alias/page.html',
      '//sub//page.html',
      '/index.html?a=/../b',
      'http://other/sub/page.html',
    ]) {
      expect(await ask(address, get(path, 'Connection: close\r\n')), path).toMatchObject({ status: 200, body: index });
    }
  });

  test('answers 405 for other methods, 301 for a folder without its slash, and 404 for a missing file', async () => {
    const folder = await site();
    await mkdir(join(folder, 'a b'));
    await writeFile(join(folder, 'a b', 'index.html'), index);
    const { address } = await webServer(folder);
    const close = 'Connection: close\r\n';
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE']) {
      const { status, headers } = await ask(address, `${method} / HTTP/1.1\r\nHost: test\r\n\r\n`);
      expect([status, headers.get('allow'), headers.get('connection')]).toEqual([405, 'GET, HEAD', 'close']);
    }
    // An address that begins with two slashes would lead the browser to another host.
    for (const path of ['/a%20b', '//a%20b']) {
      const { status, headers } = await ask(address, get(`${path}?x=1`, close));
      expect([status, headers.get('location')]).toEqual([301, '/a%20b/?x=1']);
    }
    const { status: missing, body } = await ask(address, get('/<script>', close));
    expect([missing, body]).toEqual([404, '404 Not Found\n']);
    expect(await ask(address, `HEAD /missing HTTP/1.1\r\nHost: test\r\n${close}\r\n`)).toMatchObject({
      status: 404,
      body: '',
    });
  });

  test('answers a request that is not HTTP with an error, and continues', async () => {
    const { address } = await webServer(await site());
    const bad: [string, number][] = [
      ['GARBAGE\r\n\r\n', 400],
      ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
      ['GET / HTTP/1.1\r\n\r\n', 400], // Without a Host.
      [get('/', 'Content-Length: 1\r\nContent-Length: 2\r\n'), 400],
      [get('/', 'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n'), 400],
      [get('/', ' folded\r\n'), 400],
      [get('/', `A: ${'x'.repeat(100_000)}\r\n`), 431],
      [`BAD ${'x'.repeat(5_000_000)}`, 400],
    ];
    for (const [request, status] of bad) {
      expect((await ask(address, request)).status, request.slice(0, 40)).toBe(status);
    }
    expect((await ask(address, 'GET / HT', true)).status).toBe(400);
    expect((await ask(address, get('/', 'Connection: close\r\n'))).body).toBe(index);
  });

  test('answers, in order, 1,000 pipelined requests of a client that has finished sending', async () => {
    const folder = await site();
    const { address, server } = await webServer(folder);
    const client = await rawClient(parseAddress(address));
    client.end(Array.from({ length: 1_000 }, (_, i) => get(`/text.txt?${i}`, `Range: bytes=${i % 100}-\r\n`)).join(''));
    const answers = (await everything(client)).split(/(?=HTTP\/1\.1 )/);
    expect(answers.map((answer) => answer.slice(answer.indexOf('\r\n\r\n') + 4))).toEqual(
      Array.from({ length: 1_000 }, (_, i) => text.slice(i % 100)),
    );

    // Of all queued requests, only the first has its file open.
    await writeFile(join(folder, 'large.bin'), Buffer.alloc(20_000_000));
    const greedy = await rawClient(parseAddress(address));
    greedy.write(get('/large.bin').repeat(1_000));
    await expect.poll(() => openFiles(server, folder)).toBe(1);
    greedy.destroy();
    await expect.poll(() => openFiles(server, folder)).toBe(0);
  });

  test('aborts the answer if the file becomes shorter during the download', async () => {
    const folder = await site();
    const path = join(folder, 'shrinking.bin');
    await writeFile(path, Buffer.alloc(50_000_000));
    const { address } = await webServer(folder);
    const client = await rawClient(parseAddress(address));
    client.write(get('/shrinking.bin'));
    await once(client, 'readable');
    await truncate(path, 10_000_000);
    expect((await everything(client)).length).toBeLessThan(50_000_000);
  });

  test('answers 403 for a file without permission', async () => {
    const path = await site();
    await chmod(path, 0o755);
    await writeFile(join(path, 'private.txt'), 'SECRET', { mode: 0o000 });
    const folder = await Folder.at(path);
    const server = createServer((request, response) => void answer(folder, request, response));
    onTestFinished(() => void server.close());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const isRoot = process.geteuid?.() === 0;
    if (isRoot) process.seteuid?.(65_534); // Root may read everything.
    try {
      const { port } = server.address() as AddressInfo;
      const response = await fetch(`http://127.0.0.1:${port}/private.txt`);
      expect([response.status, await response.text()]).toEqual([403, '403 Forbidden\n']);
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
  });
});

describeWith('web-server.ts with curl', ['curl'], ([curl]) => {
  test('sends files over TCP and over a unix socket', async () => {
    const folder = await site();
    const socket = join(await freshFolder(), 'socket');
    for (const where of ['tcp://127.0.0.1:0', `unix:${socket}`]) {
      const { server, address } = await webServer(folder, where);
      const url = address.startsWith('tcp:') ? address.replace('tcp:', 'http:') : 'http://localhost';
      const to = address.startsWith('tcp:') ? ['-gsS'] : ['-gsS', '--unix-socket', socket];

      const page = await run(curl, ...to, '-D', '-', `${url}/`);
      expect(page.output).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
      expect(page.output).toMatch(/^content-type: text\/html; charset=utf-8\r$/im);
      expect(page.output).toContain(`\r\n\r\n${index}`);
      const head = await run(curl, ...to, '-I', `${url}/text.txt`);
      expect(head.output).toMatch(/content-length: 100\r\n/i);
      expect(head.output).toMatch(/\r\n\r\n$/);
      // curl sends three requests on one connection, so only the first one connects.
      const urls = [`${url}/text.txt`, `${url}/caf%C3%A9.css`, `${url}/empty`];
      const kept = await run(curl, ...to, '-w', '<%{num_connects} %{http_code} %{content_type}>', ...urls);
      expect(kept.output).toBe(
        `${text}<1 200 text/plain; charset=utf-8>a {}<0 200 text/css; charset=utf-8><0 200 application/octet-stream>`,
      );
      // An unwanted body ends the connection, but only after the answer.
      const large = join(folder, 'large.bin');
      await writeFile(large, Buffer.alloc(10_000_000));
      const upload = await run(curl, ...to, '-T', large, '-H', 'Expect:', '-w', '%{http_code}', `${url}/text.txt`);
      expect(upload.output).toBe('405 Method Not Allowed\n405');
      expect(await server.interrupt('SIGTERM'), server.errors).toBe(0);
    }
  });

  test('sends ranges, and resumes a download', async () => {
    const folder = await site();
    const { url } = await webServer(folder);
    const ranged = async (path: string, ...args: string[]): Promise<string> =>
      (await run(curl, '-sS', ...args, '-w', '<%{http_code}|%header{content-range}>', url + path)).output;

    expect(await ranged('/text.txt', '-r', '5-9')).toBe('56789<206|bytes 5-9/100>');
    expect(await ranged('/text.txt', '-r', '95-')).toBe('56789<206|bytes 95-99/100>');
    expect(await ranged('/text.txt', '-r', '-3')).toBe('789<206|bytes 97-99/100>');
    expect(await ranged('/text.txt', '-r', '98-500')).toBe('89<206|bytes 98-99/100>');
    expect(await ranged('/text.txt', '-r', '-500')).toBe(`${text}<206|bytes 0-99/100>`);
    expect(await ranged('/text.txt', '-r', '100-')).toBe('416 Range Not Satisfiable\n<416|bytes */100>');
    expect(await ranged('/text.txt', '-r', '-0')).toBe('416 Range Not Satisfiable\n<416|bytes */100>');
    expect(await ranged('/empty', '-r', '0-')).toBe('416 Range Not Satisfiable\n<416|bytes */0>');
    expect(await ranged('/empty', '-r', '-5')).toBe('<200|>');
    // The server answers several ranges, and unknown units, with the complete file.
    for (const range of ['bytes=0-1,5-6', 'bytes=9-5', 'bytes=-', 'lines=1-2', 'bytes=1-2-3']) {
      expect(await ranged('/text.txt', '-H', `Range: ${range}`), range).toBe(`${text}<200|>`);
    }
    expect(await ranged('/text.txt', '-I', '-H', 'Range: bytes=0-1')).toMatch(/<200\|>$/);
    const { output } = await run(curl, '-sSI', `${url}/text.txt`);
    const tag = /^etag: (.+)\r$/im.exec(output)?.[1] ?? '';
    const date = /^last-modified: (.+)\r$/im.exec(output)?.[1] ?? '';
    for (const same of [tag, date]) {
      expect(await ranged('/text.txt', '-r', '0-1', '-H', `If-Range: ${same}`)).toBe('01<206|bytes 0-1/100>');
    }
    for (const other of ['"another"', `W/${tag}`, 'Thu, 01 Jan 2015 00:00:00 GMT']) {
      expect(await ranged('/text.txt', '-r', '0-1', '-H', `If-Range: ${other}`)).toBe(`${text}<200|>`);
    }

    const copy = join(await freshFolder(), 'copy');
    await writeFile(copy, text.slice(0, 40));
    expect((await run(curl, '-sS', '-C', '-', '-o', copy, `${url}/text.txt`)).status).toBe(0);
    expect(await readFile(copy, 'utf8')).toBe(text);
  });

  test('sends a file again only if it has changed', async () => {
    const folder = await site();
    const { url } = await webServer(folder);
    const path = join(folder, 'text.txt');
    const wednesday = new Date('2020-01-01T12:00:00.700Z');
    await utimes(path, wednesday, wednesday);
    const status = async (...conditions: string[]): Promise<number> => {
      const headers = conditions.flatMap((condition) => ['-H', condition]);
      const { output } = await run(
        curl,
        '-sS',
        ...headers,
        '-o',
        '/dev/null',
        '-w',
        '%{http_code} %{size_download}',
        `${url}/text.txt`,
      );
      const [code, size] = output.split(' ').map(Number);
      if (code === 304) expect(size).toBe(0);
      return code ?? 0;
    };
    const tag = /^etag: (.+)\r$/im.exec((await run(curl, '-sSI', `${url}/text.txt`)).output)?.[1] ?? '';
    expect(tag).toMatch(/^"[^"]+"$/);

    expect(await status(`If-None-Match: ${tag}`)).toBe(304);
    expect(await status(`If-None-Match: "a", W/${tag}`)).toBe(304);
    expect(await status('If-None-Match: *')).toBe(304);
    expect(await status('If-None-Match: "another"')).toBe(200);
    expect(await status('If-Modified-Since: Wed, 01 Jan 2020 12:00:00 GMT')).toBe(304);
    expect(await status('If-Modified-Since: Wednesday, 01-Jan-20 12:00:00 GMT')).toBe(304);
    expect(await status('If-Modified-Since: Wed Jan  1 12:00:00 2020')).toBe(304);
    expect(await status('If-Modified-Since: Wed, 01 Jan 2020 11:59:59 GMT')).toBe(200);
    expect(await status('If-Modified-Since: yesterday')).toBe(200);
    expect(await status('If-None-Match: "another"', 'If-Modified-Since: Wed, 01 Jan 2020 12:00:00 GMT')).toBe(200);
    expect(await status(`If-Match: ${tag}`)).toBe(200);
    expect(await status('If-Match: "another"')).toBe(412);
    expect(await status('If-Unmodified-Since: Wed, 01 Jan 2020 11:59:59 GMT')).toBe(412);
    expect(await status('If-Unmodified-Since: Wed, 01 Jan 2020 12:00:00 GMT')).toBe(200);

    await writeFile(path, text.replace('0', 'x'));
    expect(await status(`If-None-Match: ${tag}`)).toBe(200);
    expect(await status('If-Modified-Since: Wed, 01 Jan 2020 12:00:00 GMT')).toBe(200);
  });

  test('sends 100 MB in constant memory while other clients do not read', async () => {
    const folder = await site();
    const path = join(folder, 'large.bin');
    const hash = await writeRandom(path, 100);
    const { url, address, server } = await webServer(folder);
    expect((await run(curl, '-sS', `${url}/text.txt`)).status).toBe(0);
    const before = memory(server, 'VmRSS');
    for (let i = 0; i < 20; i++) (await rawClient(parseAddress(address))).write(get('/large.bin'));
    const copy = join(await freshFolder(), 'copy');
    const downloads = [copy, `${copy}-2`].map((to) => run(curl, '-sS', '-o', to, `${url}/large.bin`));
    for (const download of downloads) expect((await download).status).toBe(0);
    expect(await sha256(copy)).toBe(hash);
    expect(await sha256(`${copy}-2`)).toBe(hash);
    expect(memory(server, 'VmHWM') - before).toBeLessThan(80_000);
  });

  test('survives clients that disconnect during a download, and closes their files', async () => {
    const folder = await site();
    await writeRandom(join(folder, 'large.bin'), 50);
    const { url, server } = await webServer(folder);
    const aborted = Array.from({ length: 10 }, () =>
      run(curl, '-sS', '--limit-rate', '1M', '--max-time', '1', '-o', '/dev/null', `${url}/large.bin`),
    );
    const killed = Array.from({ length: 10 }, () =>
      start(curl, '-sS', '--limit-rate', '1M', '-o', '/dev/null', `${url}/large.bin`),
    );
    await expect.poll(() => openFiles(server, folder)).toBeGreaterThan(10);
    for (const client of killed) await client.interrupt('SIGKILL');
    for (const { status } of await Promise.all(aborted)) expect(status).toBe(28); // timed out
    await expect.poll(() => openFiles(server, folder), { timeout: 5_000 }).toBe(0);
    expect((await run(curl, '-sS', `${url}/`)).output).toBe(index);
    expect(await server.interrupt('SIGTERM'), server.errors).toBe(0);
  });

  test('at SIGTERM, finishes downloads in progress and closes idle connections at once', async () => {
    const folder = await site();
    const hash = await writeRandom(join(folder, 'large.bin'), 40);
    const { url, address, server } = await webServer(folder);
    const idle = await rawClient(parseAddress(address));
    idle.write(get('/'));
    await once(idle, 'readable');
    const unfinished = await rawClient(parseAddress(address));
    unfinished.write('GET / HT');
    const copy = join(await freshFolder(), 'copy');
    const download = start(curl, '-sS', '--limit-rate', '20M', '-o', copy, `${url}/large.bin`);
    await expect.poll(() => statSync(copy, { throwIfNoEntry: false })?.size ?? 0).toBeGreaterThan(0);

    const before = performance.now();
    const ended = server.interrupt('SIGTERM');
    expect(await everything(idle)).toContain(index);
    await everything(unfinished);
    expect(statSync(copy).size).toBeLessThan(40_000_000);
    expect((await run(curl, '-sS', `${url}/`)).status).toBe(7); // The server no longer listens.
    expect(await ended, server.errors).toBe(0);
    expect(performance.now() - before).toBeLessThan(7_000); // No deadline passed, and no timer was left.
    expect(await download.ended, download.errors).toBe(0);
    expect(await sha256(copy)).toBe(hash);
  });

  test('exits within ten seconds of SIGTERM, whatever its clients do', async () => {
    const folder = await site();
    await writeFile(join(folder, 'large.bin'), Buffer.alloc(50_000_000));
    const { address, server } = await webServer(folder);
    const stalled = await rawClient(parseAddress(address));
    stalled.write(get('/large.bin').repeat(10));
    await expect.poll(() => openFiles(server, folder)).toBe(1);
    const before = performance.now();
    expect(await server.interrupt('SIGTERM'), server.errors).toBe(0);
    expect(performance.now() - before).toBeLessThan(10_000);
  });
});

describeWith('web-server.ts under load', ['ab', 'wrk'], ([ab, wrk]) => {
  test('serves 300 clients at once', async () => {
    const { url, server } = await webServer(await site());
    for (const mode of [['-k'], []]) {
      const report = (await run(ab, '-q', '-n', '3000', '-c', '300', ...mode, `${url}/text.txt`)).output;
      expect(report).toMatch(/^Complete requests: +3000$/m);
      expect(report).toMatch(/^Failed requests: +0$/m);
      expect(report).not.toContain('Non-2xx');
    }
    const report = (await run(wrk, '-c', '300', '-t', '2', '-d', '2s', '--timeout', '30s', `${url}/text.txt`)).output;
    expect(report).toMatch(/[1-9]\d* requests in/);
    expect(report).not.toMatch(/Socket errors|Non-2xx/);
    expect(await server.interrupt('SIGTERM'), server.errors).toBe(0);
  });
});

describeWith('web-server.ts with Chromium', ['chromium'], ([chromium]) => {
  test('shows a page with its style sheet and its image', async () => {
    const folder = await site();
    await mkdir(join(folder, 'page'));
    const page = `<!doctype html><link rel="stylesheet" href="page.css"><img src="image.svg" alt="no image"><p>Served.</p>`;
    await writeFile(join(folder, 'page', 'index.html'), page);
    await writeFile(
      join(folder, 'page', 'page.css'),
      'body { margin: 0; background: #0a78c8; font: 40px sans-serif } img { display: block; width: 100px; height: 100px }',
    );
    const image =
      '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><rect width="10" height="10" fill="#14b450"/></svg>';
    await writeFile(join(folder, 'page', 'image.svg'), image);
    const { url } = await webServer(folder);
    const screenshot = join(await freshFolder(), 'screenshot.png');
    const quiet = ['--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
    const { status, errors } = await run(
      chromium,
      ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-dev-shm-usage', ...quiet],
      ...[`--user-data-dir=${await freshFolder()}`, '--hide-scrollbars', '--window-size=400,300'],
      ...[`--screenshot=${screenshot}`, `${url}/page`], // redirected to /page/
    );
    expect(status, errors).toBe(0);
    const picture = new Picture(await readFile(screenshot));
    expect(picture.colourAt(50, 50)).toEqual([0x14, 0xb4, 0x50]);
    expect(picture.colourAt(picture.width - 10, 50)).toEqual([0x0a, 0x78, 0xc8]);
  });
});
