import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import type { Connection } from 'rxjs-sockets';
import { socketOf } from './socket-table.js';

/**
 * Whether the peer is a program of the server's own user on this machine. Such a program could itself start everything
 * that the server would start for it.
 *
 * No single fact proves this: neither the peer's address, nor the user that created the peer's socket, nor the users
 * that hold the socket now. Every user may connect to the loopback address. On most systems, rlogin creates its socket
 * as root for every user. A different user's program can pass its socket to a program of root, and keep a copy in an
 * unread message. No process then holds that copy. So both the creator and the holders have to be the server's own
 * user.
 */
export async function isOwnUser({ local, remote }: Connection): Promise<boolean> {
  if (local.transport === 'unix') return isOwnFile(local.path);
  const socket = socketOf(remote, local); // finds the peer's socket only if it is on this machine
  if (socket === undefined || socket.uid !== process.getuid?.()) return false;
  const holders = await holdersOf(`socket:[${socket.inode}]`);
  return holders.length > 0 && (await Promise.all(holders.map(isOwnProcess))).every(Boolean);
}

/**
 * Whether only the server's own user may connect to a socket file. An abstract name is not a file. A link does not
 * count, because other users could create one in their own folders.
 */
async function isOwnFile(path: string): Promise<boolean> {
  try {
    const file = await lstat(path);
    return file.isSocket() && file.uid === process.getuid?.() && (file.mode & 0o077) === 0;
  } catch {
    return false;
  }
}

/** Returns the processes that hold a socket, among the processes that the server may inspect. */
async function holdersOf(socket: string): Promise<string[]> {
  const holders: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const open = await readdir(`/proc/${pid}/fd`).catch(() => []);
    const links = await Promise.all(open.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')));
    if (links.includes(socket)) holders.push(pid);
  }
  return holders;
}

/**
 * Whether all user ids of a process are the server's user, and the process sees the same files as the server. A process
 * in a container sees other files.
 */
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
