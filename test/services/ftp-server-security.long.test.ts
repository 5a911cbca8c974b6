import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { describe, expect, it } from 'vitest';
import { dial, RawClient, readAll, run, serveFolder, sessionTls } from '../support/services/ftp.js';
import { planted } from '../support/services/ftp-folder.js';

describe('the folder of the FTP server', () => {
  it('contains no path or link that leads out of it', async () => {
    const { beside, files } = await planted();
    await symlink(join(beside, 'private'), join(files, 'out'));
    await symlink('..', join(files, 'up'));
    await symlink(join(beside, 'private', 'secret.txt'), join(files, 'secret'));
    await symlink(join(beside, 'private', 'new.txt'), join(files, 'dangling'));
    await symlink('/proc/self/root', join(files, 'sub', 'root'));
    await symlink('sub', join(files, 'inner'));
    await symlink('../hello.txt', join(files, 'sub', 'hello'));
    const client = await RawClient.logIn(await serveFolder(files));
    const outside = [
      '../private/secret.txt',
      '../../../../../../etc/passwd',
      '/etc/passwd',
      'out/secret.txt',
      'up/private/secret.txt',
      'sub/../../private/secret.txt',
      'sub/root/etc/passwd',
      'secret',
    ];
    for (const path of outside) {
      for (const verb of ['SIZE', 'MDTM', 'MLST', 'CWD', 'STAT', 'RNFR']) {
        expect(await client.ask(`${verb} ${path}`), `${verb} ${path}`).toMatch(/^550 /);
      }
      const data = await client.openData();
      expect(await client.ask(`RETR ${path}`), path).toMatch(/^550 /);
      data.destroy();
    }
    for (const path of ['../private/new.txt', 'out/new.txt', 'up/private/new.txt', 'out/new']) {
      for (const verb of ['STOR', 'APPE', 'MKD', 'DELE']) {
        await client.listen();
        expect(await client.ask(`${verb} ${path}`), `${verb} ${path}`).toMatch(/^550 /);
      }
    }
    for (const path of ['out', 'up', 'out/..']) {
      await client.listen();
      if (path !== 'out/..') expect(await client.ask(`MLSD ${path}`), path).toMatch(/^550 /);
      expect(await client.ask(`RMD ${path}/x`), path).toMatch(/^550 /);
    }
    await client.ask('RNFR hello.txt');
    expect(await client.ask('RNTO out/hello.txt')).toMatch(/^550 /);
    await client.listen();
    await client.ask('REST 1');
    expect(await client.ask('STOR secret')).toMatch(/^550 /);

    // An upload replaces a link, and never follows it.
    for (const name of ['secret', 'dangling']) {
      await rm(join(files, name));
      await symlink(join(beside, 'private', name === 'secret' ? 'secret.txt' : 'new.txt'), join(files, name));
      const data = await client.openData();
      expect(await client.ask(`STOR ${name}`)).toMatch(/^150 /);
      data.end('mine');
      expect(await client.reply()).toMatch(/^226 /);
      expect(await readFile(join(files, name), 'utf8')).toBe('mine');
    }

    const list = await client.openData();
    await client.ask('NLST');
    expect((await readAll(list)).split('\r\n').sort()).toEqual(['', 'dangling', 'hello.txt', 'inner', 'secret', 'sub']);
    await client.reply();
    expect(await client.ask('SIZE inner/hello')).toBe('213 12');
    expect(await readdir(join(beside, 'private'))).toEqual(['secret.txt']);
    expect(await readFile(join(beside, 'private', 'secret.txt'), 'utf8')).toBe('secret');
  });

  it('has no way out while a folder in it is exchanged for a link and back', async () => {
    const { beside, files } = await planted();
    await mkdir(join(files, 'door'));
    await writeFile(join(files, 'door', 'secret.txt'), 'public');
    await symlink(join(beside, 'private'), join(files, 'link'));
    const address = await serveFolder(files);
    let isOver = false;
    const exchange = (async () => {
      while (!isOver) {
        await rename(join(files, 'door'), join(files, 'spare'));
        await rename(join(files, 'link'), join(files, 'door'));
        await rename(join(files, 'door'), join(files, 'link'));
        await rename(join(files, 'spare'), join(files, 'door'));
      }
    })();
    const client = await RawClient.logIn(address);
    const seen = new Set<string>();
    for (let round = 0; round < 150; round++) {
      const down = await client.openData();
      if ((await client.ask('RETR door/secret.txt')).startsWith('150')) {
        seen.add(await readAll(down));
        await client.reply();
      }
      const up = await client.openData();
      if ((await client.ask(`STOR door/new-${round}.txt`)).startsWith('150')) {
        up.end('x');
        await client.reply();
      }
    }
    isOver = true;
    await exchange;
    expect([...seen]).toEqual(['public']);
    expect(await readdir(join(beside, 'private'))).toEqual(['secret.txt']);
  });

  it('lets no client read or write a pipe or a socket in it', async () => {
    const { beside, files } = await planted();
    await run('/usr/bin/mkfifo', [join(files, 'pipe')]);
    const socket = net.createServer().listen(join(files, 'socket'));
    await once(socket, 'listening');
    const client = await RawClient.logIn(await serveFolder(files));
    for (const name of ['pipe', 'socket']) {
      await client.listen();
      expect(await client.ask(`RETR ${name}`)).toMatch(/^550 /);
      expect(await client.ask(`STOR ${name}`)).toMatch(/^553 /);
      expect(await client.ask(`APPE ${name}`)).toMatch(/^553 /);
      expect(await client.ask(`SIZE ${name}`)).toMatch(/^550 /);
    }
    socket.close();
    expect(existsSync(beside)).toBe(true);
  });
});

describe('TLS with the FTP server', () => {
  it('starts with AUTH, forgets an earlier login, and encrypts data after PBSZ and PROT', async () => {
    const { files } = await planted();
    const login = { user: 'ann', password: 'secret' };
    const client = await RawClient.open(await serveFolder(files, { tls: sessionTls, login }));
    expect(await client.ask('FEAT')).toContain('\n AUTH TLS');
    expect(await client.ask('USER ann')).toMatch(/^530 .*AUTH TLS/);
    expect(await client.ask('AUTH KERBEROS')).toMatch(/^504 /);
    expect(await client.ask('PBSZ 0')).toMatch(/^503 /);
    expect(await client.ask('AUTH SSL')).toMatch(/^234 /);
    await client.startTls();
    expect(await client.ask('AUTH TLS')).toMatch(/^503 /);
    await client.ask('USER ann');
    expect(await client.ask('PASS secret')).toMatch(/^230 /);
    expect(await client.ask('PROT P')).toMatch(/^503 /);
    expect(await client.ask('PBSZ 0')).toMatch(/^200 /);
    expect(await client.ask('PROT S')).toMatch(/^536 /);
    expect(await client.ask('PROT P')).toMatch(/^200 /);
    const data = await client.openData();
    expect(await client.ask('RETR hello.txt')).toMatch(/^150 /);
    data.end('this is not TLS, though it is as long as a record has to be\r\n');
    expect(await client.reply()).toMatch(/^425 /);
  });

  it('discards unencrypted commands that arrive after AUTH', async () => {
    const { files } = await planted();
    const client = await RawClient.logIn(await serveFolder(files, { tls: sessionTls }));
    client.send('AUTH TLS\r\nDELE hello.txt\r\n');
    await client.reply();
    expect(await client.reply()).toBe('end');
    expect(await readdir(files)).toContain('hello.txt');
  });

  it('lets a client use its data port although strangers connect to it', async () => {
    const { files } = await planted();
    const client = await RawClient.open(await serveFolder(files, { tls: sessionTls }));
    await client.ask('AUTH TLS');
    await client.startTls();
    for (const command of ['USER a', 'PASS b', 'PBSZ 0', 'PROT P']) await client.ask(command);
    const port = await client.listen();
    const strangers = await Promise.all(Array.from({ length: 20 }, () => dial(port, '127.0.0.2')));
    const raw = await dial(port);
    expect(await client.ask('RETR hello.txt')).toMatch(/^150 /);
    const secure = tls.connect({ socket: raw, rejectUnauthorized: false }).on('error', () => undefined);
    expect(await readAll(secure)).toBe('hello\r\nworld\r\n');
    secure.end();
    expect(await client.reply()).toMatch(/^226 /);
    for (const stranger of strangers) expect(await readAll(stranger)).toBe('');
  });

  it('treats an upload that ends without a close_notify as cut off', async () => {
    const { files } = await planted();
    const client = await RawClient.open(await serveFolder(files, { tls: sessionTls }));
    await client.ask('AUTH TLS');
    await client.startTls();
    for (const command of ['USER a', 'PASS b', 'PBSZ 0', 'PROT P']) await client.ask(command);
    const raw = await client.openData();
    expect(await client.ask('STOR new.txt')).toMatch(/^150 /);
    const secure = tls.connect({ socket: raw, rejectUnauthorized: false }).on('error', () => undefined);
    await once(secure, 'secureConnect');
    await new Promise<void>((resolve) => secure.write('half', () => resolve()));
    raw.end();
    expect(await client.reply()).toMatch(/^426 /);
    expect((await readdir(files)).sort()).toEqual(['hello.txt', 'sub']);
  });
});
