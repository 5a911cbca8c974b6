/**
 * Sends and receives TCP urgent data. Node itself cannot send urgent data, and when Node reads, it skips the urgent
 * byte.
 *
 * A short Python program gets a copy of the connection's descriptor, and handles the urgent bytes. Node handles all
 * other bytes. If the system is not Linux, or if `python3` is missing, there is no urgent data: `sendUrgent` returns
 * false, and `watchUrgent` returns undefined.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Observable } from 'rxjs';
import type { Connection } from 'rxjs-sockets';
import { descriptorOf } from './socket-table.js';

/**
 * With these options, Python ignores the environment and the working folder, where other users could place a module.
 */
const python = ['-I', '-S', '-c'];

const sender = `
import socket, sys
socket.socket(fileno=3).send(bytes([int(sys.argv[1])]), socket.MSG_OOB)
`;

const watcher = `
import os, select, socket
connection = socket.socket(fileno=3)
poll = select.poll()
poll.register(connection, select.POLLPRI)
poll.register(0, 0)  # reports the end of the program that started this one
os.write(1, b"\\0")  # from now on no byte is missed
while True:
    for descriptor, event in poll.poll():
        if descriptor == 0 or not event & select.POLLPRI:
            raise SystemExit
        os.write(1, connection.recv(1, socket.MSG_OOB))
`;

/**
 * Sends one byte as urgent data, after the bytes that the kernel has already taken.
 *
 * @returns whether the byte was sent
 */
export async function sendUrgent(connection: Connection, byte: number): Promise<boolean> {
  const fd = descriptorOf(connection);
  if (fd === undefined) return false;
  // The child process gets the connection as descriptor 3, because Node makes the descriptors 0, 1 and 2 of a child
  // process blocking. Blocking mode belongs to the socket, which both processes share, so this process would block too.
  const child = spawn('python3', [...python, sender, String(byte)], { stdio: ['ignore', 'ignore', 'ignore', fd] });
  const [status] = (await once(child, 'close').catch(() => [-1])) as [number | null];
  return status === 0;
}

/**
 * Watches a connection for urgent bytes. If Node reads beyond an urgent byte before the Python program runs, the Python
 * program misses that byte.
 *
 * @returns an Observable of the urgent bytes until the connection ends, for one subscriber; undefined if the Python
 * program cannot run
 */
export async function watchUrgent(connection: Connection): Promise<Observable<number> | undefined> {
  const fd = descriptorOf(connection);
  if (fd === undefined) return undefined;
  const { stdin, stdout } = spawn('python3', [...python, watcher], { stdio: ['pipe', 'pipe', 'ignore', fd] }).on(
    'error',
    () => stdout?.destroy(), // python3 is missing
  );
  if (stdin === null || stdout === null) return undefined;
  const isWatching = await new Promise<boolean>((resolve) => {
    stdout.once('readable', () => resolve(stdout.read(1) !== null)).once('close', () => resolve(false));
  });
  if (!isWatching) return undefined;
  connection.closed.subscribe(() => {
    stdin.destroy();
    stdout.destroy();
  });
  return new Observable((observer) => {
    stdout.on('data', (bytes: Buffer) => {
      for (const byte of bytes) observer.next(byte);
    });
    stdout.on('close', () => observer.complete());
  });
}
