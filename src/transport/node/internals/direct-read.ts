import type net from 'node:net';

/** Where a socket of Node's keeps the memory that it reads into, whom it tells, and who gives it the next memory. */
interface Keys {
  readonly buffer: symbol;
  readonly callback: symbol;
  readonly generator: symbol;
}

type Inner = net.Socket & {
  [key: symbol]: unknown;
  readonly _handle?: { useUserBuffer?(memory: Uint8Array): void } | null;
};

let keys: Keys | undefined;
let next: Uint8Array | undefined;
/** The socket that was given other memory last. */
let latest: Inner | undefined;

/** Node asks right after each chunk; undefined is for the same memory again. */
function giveNext(): Uint8Array | undefined {
  const memory = next;
  next = undefined;
  return memory;
}

/** Within the callback of {@link readInto}: its `socket` reads into `memory` from now on. */
export function readOn(socket: net.Socket, memory: Uint8Array): void {
  latest = socket as Inner;
  next = memory;
}

/** `socket` reads no more. */
export function forget(socket: net.Socket): void {
  if (latest === socket) latest = undefined;
  // Whoever keeps the connection is not to keep its memory.
  if (keys !== undefined) (socket as Inner)[keys.buffer] = null;
}

/**
 * Hands the reading of `socket` to TLS. Node keeps the address of the memory that it was given last, so it is given
 * `memory`, which must never be freed.
 */
export function stopReading(socket: net.Socket, memory: Uint8Array): void {
  const inner = socket as Inner;
  if (keys === undefined || !ArrayBuffer.isView(inner[keys.buffer])) return;
  inner._handle?.useUserBuffer?.(memory);
  forget(socket);
}

/**
 * Where anything throws that runs right behind the callback, in `process.nextTick`, and the program goes on, Node's
 * own code has not heard of the memory that it was given, and the bytes would be looked for where they are not.
 */
function repair(): void {
  if (latest !== undefined && keys !== undefined) latest._handle?.useUserBuffer?.(latest[keys.buffer] as Uint8Array);
  latest = undefined;
}

/**
 * Has `socket` read into memory of ours: what `net.connect` has the option `onread` for, and sockets that were accepted
 * have no option for. Node's own way gets 64 KiB for each chunk, and passes it through a stream.
 *
 * @param socket - one of TCP or of a unix socket, connected and paused
 * @param memory - what it reads into first
 * @param received - is called on the socket with the number of bytes that lie at the beginning of `memory`
 * @returns whether it does; where Node is built otherwise than is known here nothing has changed, and `'data'` tells
 */
export function readInto(
  socket: net.Socket,
  memory: Uint8Array,
  received: (this: net.Socket, count: number, memory: Buffer) => true,
): boolean {
  const inner = socket as Inner;
  // What Node has read already comes by its own way, and the order would be lost.
  if (typeof inner._handle?.useUserBuffer !== 'function' || socket.readableLength > 0) return false;
  const found = keys ?? findKeys(inner);
  if (found === undefined) return false;
  try {
    inner._handle.useUserBuffer(memory);
  } catch {
    // Some runtimes have the method, and no more than that.
    return false;
  }
  if (keys === undefined) process.on('uncaughtExceptionMonitor', repair);
  keys = found;
  inner[keys.buffer] = memory;
  inner[keys.callback] = received;
  inner[keys.generator] = giveNext;
  return true;
}

/** Every socket has them, `null` where it was not created with `onread`. */
function findKeys(socket: Inner): Keys | undefined {
  const find = (name: string): symbol | undefined =>
    Object.getOwnPropertySymbols(socket).find((key) => key.description === name && socket[key] === null);
  const [buffer, callback, generator] = [find('kBuffer'), find('kBufferCb'), find('kBufferGen')];
  if (buffer === undefined || callback === undefined || generator === undefined) return undefined;
  return { buffer, callback, generator };
}
