import type { Subscriber, TeardownLogic } from 'rxjs';
import { SocketError } from '../errors/socket-error.js';
import { Fifo } from '../collections/fifo.js';
import { Flow } from '../flow/flow.js';
import type { Hold } from '../flow/hold.js';
import { type FlowSource, Multicast } from '../flow/multicast.js';

/** When as many events or bytes wait, the channel is held. */
const maxEvents = 1_024;
const maxBytes = 1_048_576;

interface WaitingEvent<T> {
  readonly value: T;
  /** Its bytes on the wire. */
  readonly size: number;
}

/** The owner of the queue. */
interface EventsHost {
  /** `areWanted`, `areHeld` or `areFull` may have changed. */
  eventsChanged(): void;
  /** Runs `work` after the running code. */
  defer(work: () => void): void;
}

/**
 * The messages that answer nothing. They wait only while they are held and an answer is awaited, which lies behind them
 * in the stream; otherwise the channel itself is held.
 */
export class EventQueue<T> implements FlowSource<T> {
  readonly flow: Flow<T>;
  private readonly host: EventsHost;
  private readonly multicast: Multicast<T>;
  private readonly waiting = new Fifo<WaitingEvent<T>>();
  private bytes = 0;
  private full = false;
  private subscribed = false;
  /** How the stream has ended, until the subscribers are notified. */
  private ending: { readonly error: unknown } | undefined;

  constructor(host: EventsHost) {
    this.host = host;
    this.multicast = new Multicast(this);
    this.flow = new EventFlow(this.multicast);
  }

  /** Whether there are subscribers, and the stream has not ended. */
  get areWanted(): boolean {
    return this.subscribed && this.ending === undefined;
  }

  get areHeld(): boolean {
    return this.multicast.held;
  }

  /** Whether the limits are reached. */
  get areFull(): boolean {
    return this.full;
  }

  /** Adds an event; without subscribers it is dropped. */
  push(value: T, size: number): void {
    if (!this.areWanted) return;
    this.waiting.push({ value, size });
    this.bytes += size;
    if (this.waiting.length >= maxEvents || this.bytes >= maxBytes) this.full = true;
    this.multicast.drain();
  }

  /** Ends the stream: after the waiting events, or at once if this side has closed the connection (F10). */
  end(error: unknown): void {
    if (this.ending !== undefined || (!this.subscribed && this.waiting.length === 0)) return;
    this.ending = { error };
    if (error instanceof SocketError && error.code === 'ERR_CLOSED') {
      this.clear();
      this.conclude(error);
    } else this.multicast.drain();
  }

  take(): T | undefined {
    const event = this.waiting.shift();
    if (event === undefined) {
      if (this.ending !== undefined) this.conclude(this.ending.error);
      return undefined;
    }
    this.bytes -= event.size;
    if (this.full && this.waiting.length <= maxEvents / 2 && this.bytes <= maxBytes / 2) {
      this.full = false;
      this.host.eventsChanged();
    }
    return event.value;
  }

  started(): void {
    this.subscribed = true;
    this.host.eventsChanged();
  }

  stopped(): void {
    this.subscribed = false;
    this.host.eventsChanged();
  }

  toggled(): void {
    this.host.eventsChanged();
  }

  ended(): void {
    // Replies to events are sent on the channel, which ends by itself.
  }

  defer(work: () => void): void {
    if (this.waiting.length > 0 || this.ending !== undefined) this.host.defer(work);
  }

  private conclude(error: unknown): void {
    this.ending = undefined;
    this.subscribed = false;
    this.multicast.interrupt(error);
  }

  private clear(): void {
    this.waiting.clear();
    this.bytes = 0;
    this.full = false;
  }
}

class EventFlow<T> extends Flow<T> {
  private readonly multicast: Multicast<T>;

  constructor(multicast: Multicast<T>) {
    super();
    this.multicast = multicast;
  }

  override hold(): Hold {
    return this.multicast.hold();
  }

  protected override _subscribe(subscriber: Subscriber<T>): TeardownLogic {
    return this.multicast.add(subscriber);
  }
}
