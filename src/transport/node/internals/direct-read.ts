/**
 * **What for**: reading into memory of ours. Node's own way allocates 64 KiB for each chunk and passes it through a stream,
 * which costs more than all of this library's code.
 *
 * **How**: `net.connect` has the option `onread` for it, and accepted sockets have no such option. So this sets what that
 * option sets: three properties of the socket whose keys are the symbols `kBuffer`, `kBufferCb` and `kBufferGen`, and
 * `socket._handle.useUserBuffer`.
 *
 * **Where**: all versions of the CI matrix (Node 20.19 to 26).
 *
 * **Tried out**: at each socket: the symbols and the method have to be there, and the method must not throw.
 *
 * **Without it**: `'data'` events.
 */
import type net from 'node:net';

/** Has a socket read into given memory. */
export interface DirectRead {
  /**
   * Has `socket`, connected and paused, read into `memory`.
   *
   * @param onRead - called on the socket with the number of bytes that lie at the beginning of `memory`
   * @returns false where this is not possible: then nothing has changed
   */
  start(
    socket: net.Socket,
    memory: Uint8Array,
    onRead: (this: net.Socket, count: number, memory: Buffer) => true,
  ): boolean;
  /** Within `onRead`: has its socket read into `memory` from now on. */
  continueIn(socket: net.Socket, memory: Uint8Array): void;
  /**
   * Lets go of a socket that TLS reads from now on, or that has closed: both may outlive the memory. libuv keeps the address of
   * the last memory, so it gets that of `memory`, which must never be freed.
   */
  release(socket: net.Socket, memory: Uint8Array): void;
}

/** The keys of the memory that a socket reads into, of the callback, and of what gives it the next memory. */
interface Keys {
  readonly buffer: symbol;
  readonly callback: symbol;
  readonly generator: symbol;
}

type SocketInside = net.Socket & {
  [key: symbol]: unknown;
  readonly _handle?: { useUserBuffer?(memory: Uint8Array): void } | null;
};

let keys: Keys | undefined;
let next: Uint8Array | undefined;
/** The last socket that was given other memory. */
let latest: SocketInside | undefined;

/** Sets on a socket what the option `onread` sets. */
export const onreadSymbols: DirectRead = {
  start(socket, memory, onRead) {
    const inside = socket as SocketInside;
    // What Node has read already comes as 'data', and would come out of order.
    if (typeof inside._handle?.useUserBuffer !== 'function' || socket.readableLength > 0) return false;
    const found = keys ?? findKeys(inside);
    if (found === undefined) return false;
    try {
      inside._handle.useUserBuffer(memory);
    } catch {
      // Some runtimes have the method and nothing behind it.
      return false;
    }
    if (keys === undefined) process.on('uncaughtExceptionMonitor', repair);
    keys = found;
    inside[keys.buffer] = memory;
    inside[keys.callback] = onRead;
    inside[keys.generator] = takeNext;
    return true;
  },
  continueIn(socket, memory) {
    latest = socket as SocketInside;
    next = memory;
  },
  release(socket, memory) {
    if (latest === socket) latest = undefined;
    const inside = socket as SocketInside;
    if (keys === undefined || !ArrayBuffer.isView(inside[keys.buffer])) return;
    inside._handle?.useUserBuffer?.(memory);
    inside[keys.buffer] = null;
  },
};

/** Node asks right after each chunk; undefined means the same memory again. */
function takeNext(): Uint8Array | undefined {
  const memory = next;
  next = undefined;
  return memory;
}

/**
 * Gives Node's C++ the memory that its JavaScript has noted for the socket. The two differ when something throws right behind
 * the callback, in `process.nextTick`, and the program goes on.
 */
function repair(): void {
  if (latest !== undefined && keys !== undefined) latest._handle?.useUserBuffer?.(latest[keys.buffer] as Uint8Array);
  latest = undefined;
}

/** Every socket has the three keys, with the value `null` where it was made without `onread`. */
function findKeys(socket: SocketInside): Keys | undefined {
  const find = (name: string): symbol | undefined =>
    Object.getOwnPropertySymbols(socket).find((key) => key.description === name && socket[key] === null);
  const [buffer, callback, generator] = [find('kBuffer'), find('kBufferCb'), find('kBufferGen')];
  if (buffer === undefined || callback === undefined || generator === undefined) return undefined;
  return { buffer, callback, generator };
}
