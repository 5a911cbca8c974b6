/**
 * **What for**: reading into the library's own memory. Node allocates 64 KiB for each chunk and passes the chunk
 * through a stream, which costs more than all of this library's code.
 *
 * **How**: `net.connect` has the option `onread` for this purpose, but accepted sockets have no such option. So this
 * does what that option does: it sets the three properties of the socket whose keys are the symbols `kBuffer`,
 * `kBufferCb` and `kBufferGen`, and calls `socket._handle.useUserBuffer`.
 *
 * **Where**: all versions of the CI matrix (Node 20.19 to 26).
 *
 * **Tried out**: for each socket: the symbols and the method have to exist, and the method must not throw.
 *
 * **Without it**: the library listens to `'data'` events.
 */
import type net from 'node:net';

/** Makes a socket read into given memory. */
export interface DirectRead {
  /**
   * Makes `socket`, which is connected and paused, read into `memory`.
   *
   * @param onRead - called on the socket, with the number of bytes that were read to the start of `memory`
   * @returns false if that is not possible; the socket is then unchanged
   */
  start(
    socket: net.Socket,
    memory: Uint8Array,
    onRead: (this: net.Socket, count: number, memory: Buffer) => true,
  ): boolean;
  /** Makes the socket read into `memory` from now on. Call it within `onRead`. */
  continueIn(socket: net.Socket, memory: Uint8Array): void;
  /**
   * Stops reading into the library's memory. Call it when the socket has closed, or before TLS reads from the socket,
   * because the handle may outlive the memory that it reads into. libuv always keeps an address to read to, so it gets
   * the address of `memory`, which must never be freed.
   */
  release(socket: net.Socket, memory: Uint8Array): void;
}

/**
 * The keys of three properties of a socket: its memory, its callback, and the function that returns its next memory.
 */
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
/** The socket that was last given new memory. */
let latest: SocketInside | undefined;

/** Sets the properties that the option `onread` sets. */
export const onreadSymbols: DirectRead = {
  start(socket, memory, onRead) {
    const inside = socket as SocketInside;
    // If Node has already read bytes, it would emit them as 'data', out of order, so leave such a socket unchanged.
    if (typeof inside._handle?.useUserBuffer !== 'function' || socket.readableLength > 0) return false;
    const found = keys ?? findKeys(inside);
    if (found === undefined) return false;
    try {
      inside._handle.useUserBuffer(memory);
    } catch {
      // Some runtimes have the method, but do not implement it.
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

/** Node calls this right after each chunk; if it returns undefined, the socket keeps its memory. */
function takeNext(): Uint8Array | undefined {
  const memory = next;
  next = undefined;
  return memory;
}

/**
 * Gives Node's C++ the memory that Node's JavaScript has recorded for the socket. The two disagree if a callback of
 * `process.nextTick` throws right after the read, and the program continues.
 */
function repair(): void {
  if (latest !== undefined && keys !== undefined) latest._handle?.useUserBuffer?.(latest[keys.buffer] as Uint8Array);
  latest = undefined;
}

/** Finds the keys of the three properties, which every socket has. Without `onread`, their values are `null`. */
function findKeys(socket: SocketInside): Keys | undefined {
  const find = (name: string): symbol | undefined =>
    Object.getOwnPropertySymbols(socket).find((key) => key.description === name && socket[key] === null);
  const [buffer, callback, generator] = [find('kBuffer'), find('kBufferCb'), find('kBufferGen')];
  if (buffer === undefined || callback === undefined || generator === undefined) return undefined;
  return { buffer, callback, generator };
}
