import net from 'node:net';

/**
 * Makes this process look as if Node's sockets could not read into somebody else's memory, so that they read in Node's
 * own way: to be imported first.
 */
const socket = net.connect(1, '127.0.0.1').on('error', () => undefined);
let owner = (socket as unknown as { _handle: object | null })._handle;
while (owner !== null && !Object.hasOwn(owner, 'useUserBuffer')) owner = Object.getPrototypeOf(owner) as object | null;
if (owner === null) throw new Error('Node has no such method any more');
Reflect.deleteProperty(owner, 'useUserBuffer');
socket.destroy();
