/**
 * **Purpose**: reads into the library's own memory. Node allocates 64 KiB for each chunk, and passes the chunk through
 * a stream. The allocation and the stream take more time than the library's own work.
 *
 * **How**: accepted sockets lack the option `onread` of `net.connect`. So this file does what `onread` does: it sets
 * three properties of the socket, whose keys are the symbols `kBuffer`, `kBufferCb` and `kBufferGen`, and calls
 * `socket._handle.useUserBuffer`.
 *
 * **Versions**: all versions of the CI matrix (Node 20.19 to 26).
 *
 * **Check**: for each socket, the symbols and `useUserBuffer` must exist, and `useUserBuffer` must not throw.
 *
 * **Without it**: the library listens to `'data'` events.
 */
import type net from 'node:net';

export interface DirectRead {
  /**
   * Makes `socket`, which is connected and paused, read into `memory`.
   *
   * @param onRead - called on the socket after each read. The received bytes are the first `count` bytes of the
   * `memory` that `onRead` is given
   * @returns false if the socket cannot read into `memory`; the socket is then unchanged
   */
  start(
    socket: net.Socket,
    memory: Uint8Array,
    onRead: (this: net.Socket, count: number, memory: Buffer) => true,
  ): boolean;
  /** Makes the socket read into `memory` from now on. Call within `onRead`. */
  continueIn(socket: net.Socket, memory: Uint8Array): void;
  /**
   * Detaches the socket from the memory that it reads into, because the socket's handle may outlive that memory. Call
   * `release` when the socket has closed, or before TLS reads from the socket. libuv always needs memory to read into,
   * so libuv gets `memory`, which must never be freed.
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

export const onreadSymbols: DirectRead = {
  start(socket, memory, onRead) {
    const inside = socket as SocketInside;
    // If Node has already buffered bytes, it would emit them in a 'data' event, after later bytes. So leave such a
    // socket unchanged.
    if (typeof inside._handle?.useUserBuffer !== 'function' || socket.readableLength > 0) return false;
    const found = keys ?? findKeys(inside);
    if (found === undefined) return false;
    try {
      inside._handle.useUserBuffer(memory);
    } catch {
      // Some runtimes have the method `useUserBuffer`, but do not implement it.
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

/**
 * Node calls this function after each chunk. If the result is undefined, the socket continues to read into the same
 * memory.
 */
function takeNext(): Uint8Array | undefined {
  const memory = next;
  next = undefined;
  return memory;
}

/**
 * Makes the handle use the memory that is recorded in the socket. The handle has a different memory if a callback of
 * `process.nextTick` throws right after the read, and the program continues.
 */
function repair(): void {
  if (latest !== undefined && keys !== undefined) latest._handle?.useUserBuffer?.(latest[keys.buffer] as Uint8Array);
  latest = undefined;
}

/**
 * Finds the keys of the three properties, which every socket has. If a socket has no `onread`, the values of these
 * properties are `null`.
 */
function findKeys(socket: SocketInside): Keys | undefined {
  const find = (name: string): symbol | undefined =>
    Object.getOwnPropertySymbols(socket).find((key) => key.description === name && socket[key] === null);
  const [buffer, callback, generator] = [find('kBuffer'), find('kBufferCb'), find('kBufferGen')];
  if (buffer === undefined || callback === undefined || generator === undefined) return undefined;
  return { buffer, callback, generator };
}
