import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import type { Connection } from 'rxjs-sockets';
import { socketOf } from './socket-table.js';

/**
 * Whether the peer of a connection is a program on this machine that runs as the server's own user. Such a program
 * could itself start everything that the server would start for it.
 *
 * No single fact proves that the peer is such a program: neither the peer's address, nor the user that created the
 * peer's socket, nor the users whose processes hold the socket now. Every user may connect to the loopback address. On
 * most systems, the program rlogin creates its socket as root for every user. A program of a different user can pass
 * its socket to a program of root, and keep a copy of the socket in an unread message. No process holds a socket that
 * is in an unread message. So the server's own user has to be the creator of the socket, and also the only user whose
 * processes hold the socket.
 */
export async function isOwnUser({ local, remote }: Connection): Promise<boolean> {
  if (local.transport === 'unix') return isOwnFile(local.path);
  const socket = socketOf(remote, local); // finds the peer's socket only if the peer is on this machine
  if (socket === undefined || socket.uid !== process.getuid?.()) return false;
  const holders = await holdersOf(`socket:[${socket.inode}]`);
  return holders.length > 0 && (await Promise.all(holders.map(isOwnProcess))).every(Boolean);
}

/**
 * Whether only the server's own user may connect to the socket file at `path`. An abstract name is not a file. A link
 * does not count as a socket file, because other users could create such a link in their own folders.
 */
async function isOwnFile(path: string): Promise<boolean> {
  try {
    const file = await lstat(path);
    return file.isSocket() && file.uid === process.getuid?.() && (file.mode & 0o077) === 0;
  } catch {
    return false;
  }
}

/**
 * Returns the process ids of those processes that hold a socket. The search covers only processes that the server may
 * inspect.
 */
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
 * Whether all user ids of a process are the user id of the server, and the process sees the same files as the server. A
 * process in a container sees different files.
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
