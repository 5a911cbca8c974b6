// node intruder.mjs <folder> <uid>: a process of another user that watches a folder as fast as it can, and tries to
// connect to each file in it. It answers the message { see: path } once it has seen that file, and the message {} with
// all its findings so far.
import { lstatSync, readdirSync } from 'node:fs';
import net from 'node:net';

const [folder, user] = process.argv.slice(2);
if (Number(user) !== process.getuid()) {
  process.setgid(Number(user));
  process.setgroups([]);
  process.setuid(Number(user));
}
const connected = new Set();
const entered = new Set();
const modes = new Set();
let awaited;

function look() {
  for (const name of readdirSync(folder)) {
    const path = `${folder}/${name}`;
    try {
      const stat = lstatSync(path);
      modes.add(`${stat.isSocket() ? 'socket' : 'folder'} ${(stat.mode & 0o777).toString(8)}`);
      if (path === awaited) {
        process.send('seen');
        awaited = undefined;
      }
      if (stat.isDirectory()) {
        readdirSync(path);
        entered.add(path);
      } else dial(path);
    } catch (error) {
      if (error.code !== 'ENOENT' && error.code !== 'EACCES') throw error;
    }
  }
  setImmediate(look);
}

function dial(path) {
  const socket = net.connect(path);
  socket.on('connect', () => {
    connected.add(path);
    socket.destroy();
  });
  socket.on('error', () => undefined);
}

process.on('message', ({ see }) => {
  if (see !== undefined) awaited = see;
  else process.send({ connected: [...connected], entered: [...entered], modes: [...modes] });
});
process.on('disconnect', () => {
  process.exit();
});
process.send('ready');
look();
