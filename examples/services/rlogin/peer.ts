/** Who is at the other end of a connection, as far as the kernel knows it. */
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import type { Connection } from 'rxjs-sockets';
import { socketOf } from './socket-table.js';

/**
 * Tells whether the peer is a program of the server's own user on this machine: one that could start itself whatever the
 * server would start for it.
 *
 * The address alone says nothing: every user of a machine may connect to its loopback address. Neither does the user that made
 * the socket: the rlogin of most systems makes it as root, whoever starts it. Nor do the processes that hold it: another user's
 * program can hand its socket to a program of root, and keep a copy that is in no process, in a message that nobody has read.
 * So both have to be the server's own user.
 */
export async function isOwnUser({ local, remote }: Connection): Promise<boolean> {
  if (local.transport === 'unix') return isOwnFile(local.path);
  const socket = socketOf(remote, local); // the peer's socket is in the table only if it is on this machine
  if (socket === undefined || socket.uid !== process.getuid?.()) return false;
  const holders = await holdersOf(`socket:[${socket.inode}]`);
  return holders.length > 0 && (await Promise.all(holders.map(isOwnProcess))).every(Boolean);
}

/**
 * Whether nobody but the server's own user may connect to a socket file; an abstract name is no file.
 *
 * In a folder of theirs other users can put a link to another file in its place, so the file has to be a socket.
 */
async function isOwnFile(path: string): Promise<boolean> {
  try {
    const file = await lstat(path);
    return file.isSocket() && file.uid === process.getuid?.() && (file.mode & 0o077) === 0;
  } catch {
    return false;
  }
}

/** The processes that have a socket open, of those that the server may look into. */
async function holdersOf(socket: string): Promise<string[]> {
  const holders: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const open = await readdir(`/proc/${pid}/fd`).catch(() => []);
    const links = await Promise.all(open.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')));
    if (links.includes(socket)) holders.push(pid);
  }
  return holders;
}

/** Whether a process runs as the server's user, in all respects, and sees the same files: no container does. */
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
