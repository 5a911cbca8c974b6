import net from 'node:net';

/** The parts of Node's inside that this file leans on; everything is optional, and tried out before it is used. */
interface ListeningHandle {
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

/**
 * Stops and starts the accepting of a `net.Server`, so that clients wait in the kernel's listen queue (S5). No public
 * interface does that. A listening handle can be told to stop polling, but only one that libuv has flagged as readable:
 * so a bound handle is opened once more on its own descriptor before it listens. Whether it works is judged by what the
 * calls answer; where it does not, clients are accepted all the same, and wait in the process.
 */
export class AcceptGate {
  private readonly server: ServerInside;
  private held = false;
  private listening = false;
  private works = false;

  constructor(server: net.Server) {
    this.server = server as unknown as ServerInside;
    const inside = this.server;
    const listen = inside._listen2;
    const createHandle = (net as unknown as { _createServerHandle?: CreateHandle })._createServerHandle;
    if (typeof listen !== 'function') return;
    inside._listen2 = (...args): void => {
      try {
        // In a worker of `node:cluster` the handle is there already, and comes from the primary.
        inside._handle ??= made(createHandle, args);
        listen.apply(inside, args);
      } catch (cause) {
        // Node throws what its permission model forbids, often in a turn of its own, where nobody could catch it.
        server.close();
        process.nextTick(() => server.emit('error', cause));
      }
    };
  }

  /** Whether holding keeps clients in the kernel's queue. */
  get isEffective(): boolean {
    return this.works;
  }

  /** The server listens: from now on it can be tried out. */
  opened(): void {
    this.listening = true;
    const handle = this.server._handle;
    this.works = handle?.readStop?.() === 0 && handle.readStart?.() === 0;
    if (this.held) this.hold();
  }

  hold(): void {
    this.held = true;
    if (this.listening && this.works) this.server._handle?.readStop?.();
  }

  release(): void {
    this.held = false;
    if (this.listening && this.works) this.server._handle?.readStart?.();
  }
}

/** Gives `null` where Node is to make the handle itself. */
function made(createHandle: CreateHandle | undefined, args: unknown[]): ListeningHandle | null {
  if (typeof createHandle !== 'function') return null;
  const [address, port, addressType, , fd, flags] = args;
  const handle = createHandle(address, port, addressType, fd, flags);
  // A number is an errno: Node finds it once more, and reports it.
  return typeof handle === 'number' ? null : flagged(handle);
}

function flagged(handle: ListeningHandle): ListeningHandle {
  const { fd } = handle;
  if (fd !== undefined && fd >= 0) handle.open?.(fd);
  return handle;
}
