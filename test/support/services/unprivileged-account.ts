/** A different user and a free port, for servers of other projects that refuse to run as root. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import net from 'node:net';

/** The ids of a user, as `spawn` accepts them. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** The ids of the user `name`, or of `nobody` if no such user exists. If this process is not root, its own ids. */
export async function unprivileged(name: string): Promise<Account> {
  const uid = process.getuid?.() ?? 0;
  if (uid !== 0) return { uid, gid: process.getgid?.() ?? 0 };
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const user = users.find(([user]) => user === name) ?? users.find(([user]) => user === 'nobody');
  if (user === undefined) throw new Error(`neither ${name} nor nobody is a user of this machine`);
  return { uid: Number(user[2]), gid: Number(user[3]) };
}

export async function freePort(): Promise<number> {
  const server = net.createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
