import { closeSync, openSync, readFileSync } from 'node:fs';
import type net from 'node:net';
import { asyncScheduler } from 'rxjs';
import { SocketError } from '../../errors/socket-error.js';
import { systemError } from '../../errors/node-errors.js';
import { Timer } from '../../scheduling/timer.js';

/** How many descriptors are left to the rest of the process before a listener stops accepting. */
const reserve = 8;
/** How often it is looked whether there are any, in ms: seldom while there are, often while there are none. */
const seldom = 250;
const often = 50;
/** How often at most it is told that there are none, in ms: where one comes free and is taken again, that is no news. */
const quiet = 1_000;

/** What a {@link DescriptorMonitor} tells. */
export interface DescriptorEvents {
  /** There are too few, or enough again: {@link DescriptorMonitor.isShort}. */
  changed(): void;
  /** There are too few, which was not told lately. */
  told(error: SocketError): void;
}

/**
 * Notices that the process runs out of file descriptors (S4). Node does not tell: libuv then accepts and closes each
 * client. New descriptors get the lowest free number, so a high one says that few are left; and now and then it is
 * tried whether one can be had, since others use them up as well. Once they are short, a client that leaves makes its low
 * number free: from then on it is tried after each client whether another one may come.
 */
export class DescriptorMonitor {
  /** Whether there are too few. */
  isShort = false;
  /** Whether there were too few lately. */
  private tight = false;
  private readonly events: DescriptorEvents;
  private readonly limit = softLimit();
  private timer: Timer | undefined;
  private toldAt = -Infinity;

  constructor(events: DescriptorEvents) {
    this.events = events;
  }

  start(): void {
    this.watch(seldom);
  }

  stop(): void {
    this.timer?.unsubscribe();
  }

  /** A socket was accepted. */
  accepted(socket: net.Socket): void {
    const handle = (socket as { _handle?: { fd?: number } | null })._handle;
    if (this.isShort || (!this.tight && (handle?.fd ?? 0) < this.limit - reserve)) return;
    const failure = this.tried();
    if (failure !== undefined) this.become(failure);
  }

  private watch(interval: number): void {
    this.timer?.unsubscribe();
    this.timer = new Timer(interval, () => {
      this.look();
    });
  }

  private look(): void {
    const failure = this.tried();
    if (failure === undefined && this.isShort) {
      this.isShort = false;
      this.events.changed();
    } else if (failure !== undefined && !this.isShort) {
      this.become(failure);
      return;
    } else if (failure === undefined) this.tight = false;
    this.watch(this.isShort ? often : seldom);
  }

  private become(error: SocketError): void {
    this.isShort = true;
    this.tight = true;
    this.watch(often);
    this.events.changed();
    const now = asyncScheduler.now();
    if (now - this.toldAt < quiet) return;
    this.toldAt = now;
    this.events.told(error);
  }

  /** Why no descriptor can be had, or why too few are left. */
  private tried(): SocketError | undefined {
    try {
      const fd = openSync('/', 'r');
      closeSync(fd);
      if (fd < this.limit - reserve) return undefined;
      return new SocketError('EMFILE', `accept: EMFILE (fewer than ${reserve} file descriptors are left)`);
    } catch (cause) {
      const error = systemError(cause, 'accept');
      return error.code === 'EMFILE' || error.code === 'ENFILE' ? error : undefined;
    }
  }
}

/** How many descriptors this process may have; unbounded where the system does not say. */
function softLimit(): number {
  try {
    const match = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'));
    return match === null ? Infinity : Number(match[1]);
  } catch {
    return Infinity;
  }
}
