import { closeSync, openSync, readFileSync } from 'node:fs';
import { asyncScheduler } from 'rxjs';
import { SocketError } from '../../errors/socket-error.js';
import { systemError } from '../../errors/node-errors.js';
import { Timer } from '../../scheduling/timer.js';

/** A listener stops accepting while fewer descriptors than these are left to the rest of the process. */
const reserve = 8;
/** The monitor opens a descriptor regularly only while the last number that it saw is this close to the limit, or closer. */
const margin = 1_024;
/** How often the monitor opens a descriptor, in ms. */
const intervals = {
  /** There are plenty: only a leak elsewhere in the process could use them up. */
  plenty: 60_000,
  near: 250,
  short: 50,
};
/** A shortage is reported at most once in this time, in ms: it may end and begin again with each client. */
const reportInterval = 1_000;

/** Receives the events of a {@link DescriptorMonitor}. */
export interface DescriptorEvents {
  /** {@link DescriptorMonitor.isShort} has changed. */
  onChange(): void;
  /** A shortage has begun, and none was reported lately. */
  onShortage(error: SocketError): void;
}

/**
 * Notices that the process runs out of file descriptors (S15). Node does not report it: libuv then accepts each client and
 * closes it.
 *
 * A new descriptor gets the lowest free number, so a high number shows that few are left, and the numbers of accepted sockets
 * come for nothing. Only when they come near the limit does the monitor open descriptors of its own, because other parts
 * of the process use them up as well.
 *
 * A low number proves little once there was a shortage, since it may fill the hole that a client has left: then the
 * monitor tries after each client whether another one may come.
 */
export class DescriptorMonitor {
  /** Whether there are too few descriptors to accept clients. */
  isShort = false;
  private wasShort = false;
  private readonly events: DescriptorEvents;
  private readonly limit = softLimit();
  private nearUntil = -Infinity;
  private triedAt = -Infinity;
  private timer: Timer | undefined;
  private reportedAt = -Infinity;

  constructor(events: DescriptorEvents) {
    this.events = events;
  }

  start(): void {
    this.wait(intervals.near);
  }

  stop(): void {
    this.timer?.unsubscribe();
  }

  /**
   * Notes that a socket was accepted.
   *
   * @param fd - the number of its descriptor; undefined where Node does not show it
   */
  accepted(fd: number | undefined): void {
    if (this.isShort) return;
    const wasNear = this.isNear;
    if (fd !== undefined) this.note(fd);
    const mayBeShort = fd === undefined ? this.isNear || this.hasNotTriedLately : fd >= this.limit - reserve;
    if (this.wasShort || mayBeShort) {
      const shortage = this.shortage();
      if (shortage !== undefined) this.begin(shortage);
    }
    if (!wasNear && this.isNear && !this.isShort) this.wait(intervals.near);
  }

  /** Whether the limit was near lately; always where it is unknown. */
  private get isNear(): boolean {
    return this.limit === Infinity || asyncScheduler.now() < this.nearUntil;
  }

  private get hasNotTriedLately(): boolean {
    return asyncScheduler.now() - this.triedAt >= intervals.near;
  }

  private note(fd: number): void {
    if (fd >= this.limit - margin) this.nearUntil = asyncScheduler.now() + intervals.plenty;
  }

  private look(): void {
    const shortage = this.shortage();
    if (shortage !== undefined && !this.isShort) {
      this.begin(shortage);
      return;
    }
    if (shortage === undefined && this.isShort) {
      this.isShort = false;
      this.events.onChange();
    } else if (shortage === undefined) this.wasShort = false;
    this.wait(this.isShort ? intervals.short : this.isNear ? intervals.near : intervals.plenty);
  }

  private wait(interval: number): void {
    this.timer?.unsubscribe();
    this.timer = new Timer(interval, () => {
      this.look();
    });
  }

  private begin(shortage: SocketError): void {
    this.isShort = true;
    this.wasShort = true;
    this.wait(intervals.short);
    this.events.onChange();
    const now = asyncScheduler.now();
    if (now - this.reportedAt < reportInterval) return;
    this.reportedAt = now;
    this.events.onShortage(shortage);
  }

  /** Opens a descriptor: returns why there is none, or why too few are left. */
  private shortage(): SocketError | undefined {
    this.triedAt = asyncScheduler.now();
    try {
      const fd = openSync('/', 'r');
      closeSync(fd);
      this.note(fd);
      if (fd < this.limit - reserve) return undefined;
      return new SocketError('EMFILE', `accept: EMFILE (fewer than ${reserve} file descriptors are left)`);
    } catch (cause) {
      const error = systemError(cause, 'accept');
      if (error.code !== 'EMFILE' && error.code !== 'ENFILE') return undefined;
      this.note(Infinity);
      return error;
    }
  }
}

/** How many descriptors this process may have; `Infinity` where the system does not say. */
function softLimit(): number {
  try {
    const match = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'));
    return match === null ? Infinity : Number(match[1]);
  } catch {
    return Infinity;
  }
}
