import { closeSync, openSync, readFileSync } from 'node:fs';
import { asyncScheduler } from 'rxjs';
import { SocketError } from '../../errors/socket-error.js';
import { systemError } from '../../errors/node-errors.js';
import { Timer } from '../../scheduling/timer.js';

/** A listener stops accepting while the process has fewer free descriptors than this. */
const reserve = 8;
/** A descriptor number this close to the limit counts as near. After the monitor has seen one, it probes more often. */
const margin = 1_024;
/** The time from one probe to the next, in ms. */
const intervals = {
  plenty: 60_000,
  near: 250,
  short: 50,
};
/** The shortest time between two reports, in ms. */
const reportInterval = 1_000;

export interface DescriptorEvents {
  /** Called when `isShort` has changed. */
  onChange(): void;
  /** Called when a shortage begins, at most once a second. */
  onShortage(error: SocketError): void;
}

/**
 * Detects that the process is running out of file descriptors (S15). Node does not report this: libuv accepts each
 * further client, and closes it at once.
 *
 * The monitor probes from time to time: it opens as many descriptors as it keeps in reserve. A new descriptor gets the
 * lowest free number, so a high number shows that few may be left. The monitor looks at the number of each accepted
 * socket. While the numbers are near the limit, it probes more often.
 *
 * A low number proves little, because another part of the process may just have released that descriptor. So for a
 * while after a shortage, the monitor probes for each accepted client.
 */
export class DescriptorMonitor {
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

  /** @param fd - the descriptor of the accepted socket; undefined if Node does not show it */
  accepted(fd: number | undefined): void {
    // Nearly all sockets have a low number. Without a recent shortage, a low number needs no check.
    if (this.isShort || (fd !== undefined && fd < this.limit - margin && !this.wasShort)) return;
    const wasNear = this.isNear;
    if (fd !== undefined) this.note(fd);
    const mayBeShort = fd === undefined ? this.isNear || this.hasNotTriedLately : fd >= this.limit - reserve;
    if (this.wasShort || mayBeShort) {
      const shortage = this.shortage();
      if (shortage !== undefined) this.begin(shortage);
    }
    if (!wasNear && this.isNear && !this.isShort) this.wait(intervals.near);
  }

  /** Whether a descriptor number near the limit was seen recently; true if the limit is unknown. */
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

  /** Opens `reserve` descriptors, and closes them. Returns an error if that many are not free. */
  private shortage(): SocketError | undefined {
    this.triedAt = asyncScheduler.now();
    const opened: number[] = [];
    try {
      while (opened.length < reserve) opened.push(openSync('/', 'r'));
      return undefined;
    } catch (cause) {
      const error = systemError(cause, 'accept');
      if (error.code !== 'EMFILE' && error.code !== 'ENFILE') return undefined;
      this.note(Infinity);
      if (opened.length === 0) return error;
      return new SocketError('EMFILE', `accept: EMFILE (fewer than ${reserve} file descriptors are free)`);
    } finally {
      for (const fd of opened) {
        this.note(fd);
        closeSync(fd);
      }
    }
  }
}

/** Returns the maximum number of descriptors of this process; `Infinity` if it is unknown. */
function softLimit(): number {
  try {
    const match = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'));
    return match === null ? Infinity : Number(match[1]);
  } catch {
    return Infinity;
  }
}
