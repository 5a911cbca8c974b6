import type { Subscriber, TeardownLogic } from 'rxjs';
import { SocketError } from '../errors/socket-error.js';
import { Fifo } from '../collections/fifo.js';
import { Flow } from '../flow/flow.js';
import type { Hold } from '../flow/hold.js';
import { type FlowSource, Multicast } from '../flow/multicast.js';

/** The channel is held when this many events or bytes are buffered. */
const maxEvents = 1_024;
const maxBytes = 1_048_576;

interface BufferedEvent<T> {
  readonly value: T;
  /** The encoded size of the value, in bytes. */
  readonly size: number;
}

interface EventsHost {
  /** Called when `isWanted`, `isHeld` or `isFull` may have changed. */
  eventsChanged(): void;
  /** Runs `work` when the running code has returned. */
  defer(work: () => void): void;
}

/**
 * Buffers the events: messages that answer no request. If the events are held while a request is pending, the events
 * stay in this buffer, because holding the channel would also hold back the answer. If the events are held while no
 * request is pending, the channel itself is held.
 */
export class EventQueue<T> implements FlowSource<T> {
  readonly flow: Flow<T>;
  private readonly host: EventsHost;
  private readonly multicast: Multicast<T>;
  private readonly waiting = new Fifo<BufferedEvent<T>>();
  private bytes = 0;
  private full = false;
  private subscribed = false;
  /** The end of the stream, until the subscribers are notified of this end. */
  private ending: { readonly error: unknown } | undefined;

  constructor(host: EventsHost) {
    this.host = host;
    this.multicast = new Multicast(this);
    this.flow = new EventFlow(this.multicast);
  }

  get isWanted(): boolean {
    return this.subscribed && this.ending === undefined;
  }

  get isHeld(): boolean {
    return this.multicast.held;
  }

  /**
   * True from the moment when the queue reaches one of the limits until the queue has drained to half of both limits.
   */
  get isFull(): boolean {
    return this.full;
  }

  push(value: T, size: number): void {
    if (!this.isWanted) return;
    this.waiting.push({ value, size });
    this.bytes += size;
    if (this.waiting.length >= maxEvents || this.bytes >= maxBytes) this.full = true;
    this.multicast.drain();
  }

  /** Ends the stream after the buffered events, or immediately if this side has destroyed the connection (F10). */
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

  heldChanged(): void {
    this.host.eventsChanged();
  }

  ended(): void {
    // Nothing to do, because the channel ends by itself.
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
