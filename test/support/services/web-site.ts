/** A folder to serve, the web server, and its clients. */
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import type net from 'node:net';
import { join } from 'node:path';
import { parseAddress } from 'rxjs-sockets';
import { onTestFinished } from 'vitest';
import { Program, program } from '../../examples/program.js';
import { freshFolder } from '../transport/places.js';
import { rawClient } from '../sockets/plain-sockets.js';

export const index = '<!doctype html><title>index</title>\n';
export const text = '0123456789'.repeat(10);

/** A GET request; `more` contains further header lines. */
export const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nHost: test\r\n${more}\r\n`;

export async function site(): Promise<string> {
  const folder = await freshFolder();
  await writeFile(join(folder, 'index.html'), index);
  await writeFile(join(folder, 'text.txt'), text);
  await writeFile(join(folder, 'café.css'), 'a {}');
  await writeFile(join(folder, 'empty'), '');
  return folder;
}

/** Starts the program, and waits until it has printed its address. */
export async function webServer(
  folder: string,
  where = 'tcp://127.0.0.1:0',
): Promise<{ server: Program; address: string; url: string }> {
  const server = program(['examples/services/web-server.ts', where, folder]);
  const [address = ''] = await server.until(/^.+$/m);
  return { server, address, url: address.replace('tcp:', 'http:') };
}

/** Starts a program of another project. It is killed at the end of the test. */
export function start(path: string, ...args: string[]): Program {
  const child = spawn(path, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  return new Program(child);
}

export async function run(
  path: string,
  ...args: string[]
): Promise<{ status: number | string; output: string; errors: string }> {
  const running = start(path, ...args);
  const status = await running.ended;
  return { status, output: running.output, errors: running.errors };
}

/** Sends a request byte for byte, and returns the answer. */
export async function ask(
  address: string,
  request: string,
  isFinished = false,
): Promise<{ status: number; headers: Map<string, string>; body: string }> {
  const client = await rawClient(parseAddress(address));
  if (isFinished) client.end(request, 'latin1');
  else client.write(request, 'latin1');
  const answer = await everything(client);
  client.destroy();
  const [head = '', ...body] = answer.split('\r\n\r\n');
  const [first = '', ...fields] = head.split('\r\n');
  const headers = new Map(fields.map((field) => [field.split(':')[0]!.toLowerCase(), field.replace(/^[^:]*: */, '')]));
  return { status: Number(first.split(' ')[1]), headers, body: body.join('\r\n\r\n') };
}

/** Everything that a client receives until its connection ends. */
export async function everything(client: net.Socket): Promise<string> {
  const chunks: string[] = [];
  client.setEncoding('latin1').on('data', (chunk: string) => chunks.push(chunk));
  if (!client.readableEnded && !client.destroyed) {
    await new Promise<void>((resolve) => {
      client.once('end', resolve).once('close', () => resolve());
    });
  }
  client.end();
  return chunks.join('');
}

/** How many files of a folder a process has open. */
export function openFiles({ pid }: Program, folder: string): number {
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith(folder);
    } catch {
      return false; // It has been closed.
    }
  }).length;
}

/** The resident memory of a process in kB: now, or its peak. */
export function memory({ pid }: Program, field: 'VmRSS' | 'VmHWM'): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

/** Fills a file with `megabytes` megabytes of random bytes, and returns the hash of the bytes. */
export async function writeRandom(path: string, megabytes: number): Promise<string> {
  const hash = createHash('sha256');
  await using file = await open(path, 'w');
  for (let i = 0; i < megabytes; i++) {
    const chunk = randomBytes(1_000_000);
    hash.update(chunk);
    await file.write(chunk);
  }
  return hash.digest('hex');
}

export async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
