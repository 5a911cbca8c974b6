/**
 * **Purpose**: reads and writes an accepted connection without a `net.Socket`. Node's stream takes more time and memory
 * than the rest of a short connection.
 *
 * **How**: the listening handle calls `onconnection` with the handle of each client. The methods of the handle need
 * request objects, and report their results in an array; both are exported by `process.binding('stream_wrap')`.
 *
 * **Versions**: all versions of the CI matrix (Node 20.19 to 26), on Linux.
 *
 * **Check**: `handle-self-test.ts` exercises a pair of handles when the first server starts.
 *
 * **Without it**: the transport uses `net.Socket`.
 */
import type net from 'node:net';
import { getSystemErrorName } from 'node:util';
import { nodeCluster } from '../../lazy-builtins.js';

/** A `TCP` or `Pipe` handle of Node. Methods that return a number return 0, or a negative errno. */
export interface StreamHandle {
  onread: ((this: StreamHandle, chunk: ArrayBuffer | undefined) => Uint8Array | undefined) | undefined;
  readonly fd: number;
  /** The number of written bytes that the kernel has not taken. */
  readonly writeQueueSize: number;
  useUserBuffer(memory: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  writeBuffer(request: WriteRequest, data: Uint8Array): number;
  writeLatin1String(request: WriteRequest, data: string): number;
  writeUtf8String(request: WriteRequest, data: string): number;
  writev(request: WriteRequest, pieces: readonly Uint8Array[], areBuffers: true): number;
  shutdown(request: ShutdownRequest): number;
  close(onClosed?: () => void): void;
  ref(): void;
  unref(): void;
  /** The methods from here on exist only on TCP handles. */
  reset?(onClosed: () => void): number;
  setNoDelay?(on: boolean): number;
  setKeepAlive?(on: boolean, seconds: number): number;
  getsockname?(into: HandleName): number;
  getpeername?(into: HandleName): number;
}

export interface HandleName {
  address?: string;
  port?: number;
}

export interface WriteRequest {
  oncomplete: ((this: WriteRequest, status: number) => void) | undefined;
  /** Keeps the bytes alive until they are written. */
  data?: unknown;
}

export interface ShutdownRequest {
  oncomplete: ((this: ShutdownRequest, status: number) => void) | undefined;
}

/** The end of the stream, as the result of a read. */
export const endOfFile = -4095;

/** The major versions of Node in the CI matrix. */
const testedVersions = [20, 22, 24, 26];

/** Its class is the class of the handles that it accepts. */
interface ListeningHandle extends Partial<StreamHandle> {
  onconnection?: (status: number, handle: StreamHandle | undefined) => void;
}

interface ServerInside {
  _handle?: ListeningHandle | null;
}

/** What is needed to use the handles of accepted connections. */
export interface StreamHandles {
  /** The length of the chunk that `onread` reports; or 0, {@link endOfFile}, or the negative errno of a failure. */
  readonly readResult: number;
  /** The offset of the chunk in the ArrayBuffer that `onread` gets. */
  readonly chunkOffset: number;
  /** Whether a part of the last write is still to be written. Then its request completes later. */
  readonly isWriteQueued: boolean;
  newWrite(): WriteRequest;
  newShutdown(): ShutdownRequest;
}

interface StreamBinding {
  readonly WriteWrap: new () => WriteRequest;
  readonly ShutdownWrap: new () => ShutdownRequest;
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
  readonly kArrayBufferOffset: number;
  readonly kLastWriteWasAsync: number;
}

class BoundHandles implements StreamHandles {
  private readonly binding: StreamBinding;
  private readonly state: Int32Array;

  constructor(binding: StreamBinding) {
    this.binding = binding;
    this.state = binding.streamBaseState;
  }

  get readResult(): number {
    return this.state[this.binding.kReadBytesOrError]!;
  }

  get chunkOffset(): number {
    return this.state[this.binding.kArrayBufferOffset]!;
  }

  get isWriteQueued(): boolean {
    return this.state[this.binding.kLastWriteWasAsync] !== 0;
  }

  newWrite(): WriteRequest {
    return new this.binding.WriteWrap();
  }

  newShutdown(): ShutdownRequest {
    return new this.binding.ShutdownWrap();
  }
}

/** Returns undefined if this runtime or its permissions do not allow the use of handles. */
export function findStreamHandles(): StreamHandles | undefined {
  const [major = 0] = process.versions.node.split('.').map(Number);
  const isNode = !('bun' in process.versions) && !('deno' in process.versions);
  if (process.platform !== 'linux' || !isNode || !testedVersions.includes(major)) return undefined;
  if (warnsOfBinding() || isClusterWorker()) return undefined;
  try {
    const found = (process as unknown as { binding(name: string): StreamBinding }).binding('stream_wrap');
    const indexes = [found.kReadBytesOrError, found.kArrayBufferOffset, found.kLastWriteWasAsync];
    const isComplete =
      typeof found.WriteWrap === 'function' &&
      typeof found.ShutdownWrap === 'function' &&
      ArrayBuffer.isView(found.streamBaseState) &&
      indexes.every((index) => index >= 0 && index < found.streamBaseState.length);
    return isComplete ? new BoundHandles(found) : undefined;
  } catch {
    // Under the permission model, `process.binding` throws.
    return undefined;
  }
}

/** With `--pending-deprecation`, Node replaces `process.binding` by a function that warns (DEP0111). */
function warnsOfBinding(): boolean {
  const { binding } = process as unknown as { binding: unknown };
  return Object.getPrototypeOf(binding) !== Function.prototype;
}

/** When a worker of `node:cluster` disconnects, Node waits for the sockets of its servers, but not for handles. */
function isClusterWorker(): boolean {
  return process.send !== undefined && nodeCluster().isWorker;
}

/**
 * Makes a listening server pass the handle of each client to `onHandle`, instead of emitting `'connection'`.
 *
 * @returns false if that is not possible; the server is then unchanged
 */
export function acceptHandles(
  server: net.Server,
  onHandle: (handle: StreamHandle) => void,
  onFailure: (error: Error) => void,
): boolean {
  const listening = (server as unknown as ServerInside)._handle;
  if (typeof listening?.onconnection !== 'function' || !isComplete(listening, server)) return false;
  listening.onconnection = (status, handle) => {
    if (status < 0) onFailure(errnoError(status, 'accept'));
    else if (handle !== undefined) onHandle(handle);
  };
  return true;
}

const methods = [
  'useUserBuffer',
  'readStart',
  'readStop',
  'writeBuffer',
  'writeLatin1String',
  'writeUtf8String',
  'writev',
  'shutdown',
  'close',
  'ref',
  'unref',
] as const;
const tcpMethods = ['reset', 'setNoDelay', 'setKeepAlive', 'getsockname', 'getpeername'] as const;

function isComplete(handle: ListeningHandle, server: net.Server): boolean {
  const address = server.address();
  const isTcp = typeof address === 'object' && address !== null;
  return [...methods, ...(isTcp ? tcpMethods : [])].every((name) => typeof handle[name] === 'function');
}

/** Returns an error like Node's own, with the name of the errno in `code`. */
export function errnoError(errno: number, action: string): Error {
  const code = getSystemErrorName(errno);
  return Object.assign(new Error(`${action} ${code}`), { code, errno, syscall: action });
}

/** The handle that was last given new memory within `onread`. */
let latest: { readonly handle: StreamHandle; readonly memory: Uint8Array } | undefined;
let isRepairing = false;

/**
 * Call when `onread` is about to return new memory. If a callback of `process.nextTick` throws right after the read, and
 * the program continues, Node ignores the result of `onread`. The memory is then set here.
 */
export function changesMemory(handle: StreamHandle, memory: Uint8Array): void {
  if (!isRepairing) process.on('uncaughtExceptionMonitor', repair);
  isRepairing = true;
  latest = { handle, memory };
}

/** Call when `handle` is being closed. */
export function forgetMemory(handle: StreamHandle): void {
  if (latest?.handle === handle) latest = undefined;
}

function repair(): void {
  latest?.handle.useUserBuffer(latest.memory);
  latest = undefined;
}
