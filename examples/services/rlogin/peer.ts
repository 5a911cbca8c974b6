/** Identifies the peer of a connection, as far as the kernel knows it. */
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import type { Connection } from 'rxjs-sockets';
import { socketOf } from './socket-table.js';

/**
 * Whether the peer is a program of the server's own user on this machine, which could itself start everything that the
 * server would start for it.
 *
 * The address does not prove it: every user may connect to the loopback address. The user that created the socket does
 * not, either: on most systems, rlogin creates it as root for every user. Nor do the processes that hold it: a program
 * of a different user can pass its socket to a program of root, and keep a copy in an unread message, in no process at
 * all. So both the creator and the holders have to be the server's own user.
 */
export async function isOwnUser({ local, remote }: Connection): Promise<boolean> {
  if (local.transport === 'unix') return isOwnFile(local.path);
  const socket = socketOf(remote, local); // the table contains the peer's socket only if it is on this machine
  if (socket === undefined || socket.uid !== process.getuid?.()) return false;
  const holders = await holdersOf(`socket:[${socket.inode}]`);
  return holders.length > 0 && (await Promise.all(holders.map(isOwnProcess))).every(Boolean);
}

/**
 * Whether only the server's own user may connect to a socket file; an abstract name is not a file.
 *
 * In their own folders, other users can replace the file by a link to a different file, so the file has to be a socket.
 */
async function isOwnFile(path: string): Promise<boolean> {
  try {
    const file = await lstat(path);
    return file.isSocket() && file.uid === process.getuid?.() && (file.mode & 0o077) === 0;
  } catch {
    return false;
  }
}

/** The processes that hold a socket, among those that the server may inspect. */
async function holdersOf(socket: string): Promise<string[]> {
  const holders: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const open = await readdir(`/proc/${pid}/fd`).catch(() => []);
    const links = await Promise.all(open.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')));
    if (links.includes(socket)) holders.push(pid);
  }
  return holders;
}

/** Whether a process runs as the server's user in all respects, and sees the same files (unlike a container). */
async function isOwnProcess(pid: string): Promise<boolean> {
  try {
    const [status, files, ownFiles] = await Promise.all([
      readFile(`/proc/${pid}/status`, 'latin1'),
      readlink(`/proc/${pid}/ns/mnt`),
      readlink('/proc/self/ns/mnt'),
    ]);
    const [, ...users] = /^Uid:\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)$/m.exec(status) ?? [];
    return files === ownFiles && users.length === 4 && users.every((user) => Number(user) === process.getuid?.());
  } catch {
    return false;
  }
}
