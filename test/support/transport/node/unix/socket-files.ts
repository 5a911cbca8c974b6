import { once } from 'node:events';
import { chmodSync, linkSync, lstatSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { listen, type ListenOptions, type SocketError } from 'rxjs-sockets';
import { onTestFinished } from 'vitest';
import { freshFolder } from '../../places.js';

/** Starts a server in this process. Returns a function that stops the server. The end of the test also stops it. */
export async function started(path: string, options: ListenOptions = {}): Promise<() => void> {
  const server = listen({ path }, options);
  return new Promise((resolve, reject) => {
    // A connection can come from another server that only checks whether this server listens.
    const subscription = server.subscribe({ next: (connection) => connection.destroy(), error: reject });
    const stop = (): void => subscription.unsubscribe();
    onTestFinished(stop);
    server.listening.subscribe(() => resolve(stop));
  });
}

/** Runs a server in this process until the end of the test. Returns `'ok'` if it listens, or the code of its error. */
export async function outcome(path: string, options: ListenOptions = {}): Promise<string> {
  return started(path, options).then(
    () => 'ok',
    (error: unknown) => (error as SocketError).code,
  );
}

/** A plain `net.Server` that sends its pid to each client. It closes with the test. Node then removes its file. */
export async function plainServer(path: string): Promise<net.Server> {
  const server = net.createServer((socket) => socket.on('error', () => undefined).end(String(process.pid)));
  onTestFinished(() => {
    server.close();
  });
  server.listen(path);
  await once(server, 'listening');
  return server;
}

/** Leaves a socket file behind, like an owner that has crashed. */
export async function makeStale(path: string, mode = 0o600): Promise<void> {
  const made = join(await freshFolder(), 'socket');
  const server = await plainServer(made);
  chmodSync(made, mode);
  linkSync(made, path);
  server.close();
  await once(server, 'close');
}

/** A text that differs for each file, and changes when the file or its permissions change. */
export function fingerprint(path: string): string {
  const { dev, ino, mode, mtimeNs, ctimeNs } = lstatSync(path, { bigint: true });
  return [dev, ino, mode, mtimeNs, ctimeNs].join(' ');
}

/** Makes `folder` the working directory of this test. */
export function workIn(folder: string): void {
  const before = process.cwd();
  onTestFinished(() => process.chdir(before));
  process.chdir(folder);
}
