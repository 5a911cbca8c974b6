/**
 * **Purpose**: keeps clients in the kernel's listen queue while a server is held (S5). Node has no public way to stop a
 * listener without closing it.
 *
 * **How**: `readStop` and `readStart` of the listening handle stop and start its polling. libuv stops only a handle
 * that it has flagged as readable. Before the server listens, the gate sets this flag: it calls `open` of the bound
 * handle with the descriptor that the handle already has. To set the flag, the gate uses `net._createServerHandle`,
 * `server._listen2`, `server._handle` and `handle.open`.
 *
 * **Versions**: all versions of the CI matrix (Node 20.19 to 26), on Linux.
 *
 * **Check**: when the server starts to listen, `readStop` and `readStart` must both return 0.
 *
 * **Without it**: a held server still accepts up to `acceptQueue` clients, which wait in the process.
 */
import net from 'node:net';
import type { StreamHandle } from './stream-handle.js';

export interface Gate {
  /** Whether the gate can pause accepting. False before the server listens. */
  readonly isEffective: boolean;
  /** Call when the server has started to listen. */
  opened(): void;
  hold(): void;
  release(): void;
}

/** A no-op gate, for a server that cannot pause accepting. */
export const openGate: Gate = { isEffective: false, opened: nothing, hold: nothing, release: nothing };

/** A handle of Node that is bound. */
export interface ListeningHandle extends Pick<StreamHandle, 'setNoDelay' | 'setKeepAlive'> {
  readonly fd?: number;
  open?(fd: number): number;
  readStop?(): number;
  readStart?(): number;
}

interface ServerInside {
  _handle?: ListeningHandle | null;
  _listen2?: (this: ServerInside, ...args: unknown[]) => void;
}

type CreateHandle = (...args: unknown[]) => ListeningHandle | number;

/** Create this gate before the server listens. */
export class AcceptGate implements Gate {
  private readonly server: ServerInside;
  private isHeld = false;
  private isListening = false;
  private works = false;

  /** @param onBound - called with the server's handle before the server listens, unless Node makes the handle itself */
  constructor(server: net.Server, onBound: (handle: ListeningHandle) => void = nothing) {
    this.server = server as unknown as ServerInside;
    const inside = this.server;
    const listen = inside._listen2;
    const createHandle = (net as unknown as { _createServerHandle?: CreateHandle })._createServerHandle;
    if (typeof listen !== 'function') return;
    inside._listen2 = (...args): void => {
      try {
        // A worker of `node:cluster` already has a handle, from the primary.
        inside._handle ??= readableHandle(createHandle, args, onBound);
        listen.apply(inside, args);
      } catch (cause) {
        // Node throws the errors of its permission model, often in a later turn, where no caller can catch them. So
        // emit these errors as 'error' events.
        server.close();
        process.nextTick(() => server.emit('error', cause));
      }
    };
  }

  get isEffective(): boolean {
    return this.works;
  }

  opened(): void {
    this.isListening = true;
    const handle = this.server._handle;
    this.works = handle?.readStop?.() === 0 && handle.readStart?.() === 0;
    if (this.isHeld) this.hold();
  }

  hold(): void {
    this.isHeld = true;
    if (this.isListening && this.works) this.server._handle?.readStop?.();
  }

  release(): void {
    this.isHeld = false;
    if (this.isListening && this.works) this.server._handle?.readStart?.();
  }
}

/** Returns a bound handle that libuv has flagged as readable, or `null` if Node has to make the handle itself. */
function readableHandle(
  createHandle: CreateHandle | undefined,
  args: unknown[],
  onBound: (handle: ListeningHandle) => void,
): ListeningHandle | null {
  if (typeof createHandle !== 'function') return null;
  const [address, port, addressType, , fd, flags] = args;
  const handle = createHandle(address, port, addressType, fd, flags);
  // If `handle` is a number, it is an errno. Node will get the same error when Node makes the handle, and will report
  // the error.
  if (typeof handle === 'number') return null;
  if (handle.fd !== undefined && handle.fd >= 0) handle.open?.(handle.fd);
  onBound(handle);
  return handle;
}

function nothing(): void {
  // Used where there is nothing to do.
}
