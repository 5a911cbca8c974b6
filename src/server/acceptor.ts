import { EMPTY, from, merge, Observable, Subject } from 'rxjs';
import { onAbort } from '../options/abort-signal.js';
import type { Address } from '../address/address.js';
import type { Closed, Connection } from '../connection/connection.js';
import { SocketError } from '../errors/socket-error.js';
import { type FlowSource, Multicast } from '../flow/multicast.js';
import { type ShutdownOptions, type ShutdownSettings, shutdownSettings } from '../options/shutdown-options.js';
import type { ListenSettings } from '../options/listen-options.js';
import { ConnectionList } from '../connection/connection-list.js';
import type { ConnectionOwner } from '../connection/connection-owner.js';
import { SocketConnection } from '../connection/socket-connection.js';
import type { Listener, ListenerEvents, Transport, TransportSocket } from '../transport/transport.js';

/**
 * The state behind a Server: one listener while there are subscribers, the clients that wait to be emitted, and the
 * connections that were accepted.
 */
export class Acceptor<In, Out> implements FlowSource<Connection<In, Out>>, ConnectionOwner<SocketConnection<In, Out>> {
  readonly multicast: Multicast<Connection<In, Out>> = new Multicast(this);
  readonly hasIncidents = true;
  readonly incidents: Observable<SocketError>;
  /** The bound address, replayed while bound; subscribing to it binds nothing (S1). */
  readonly listening: Observable<Address> = new Observable((subscriber) => {
    if (this.stopping !== undefined) subscriber.complete();
    else if (this.bound !== undefined) subscriber.next(this.bound);
    return this.bindings.subscribe({
      next: (address) => {
        if (address === undefined) subscriber.complete();
        else subscriber.next(address);
      },
      error: (error: unknown) => {
        subscriber.error(error);
      },
      complete: () => {
        subscriber.complete();
      },
    });
  });

  private readonly address: Address;
  private readonly settings: ListenSettings<In, Out>;
  private readonly transport: Transport;
  private readonly incidentSubject = new Subject<SocketError>();
  private readonly bindings = new Subject<Address | undefined>();
  private readonly accepted = new ConnectionList<SocketConnection<In, Out>>();
  private readonly waitingSockets: TransportSocket[] = [];
  /** The last emitted connection, until we have checked whether it has a subscriber. */
  private lastEmitted: SocketConnection<In, Out> | undefined;
  private accepting = false;
  private readonly stopListeningToSignal: (() => void) | undefined;
  private listener: Listener | undefined;
  private bound: Address | undefined;
  /** Resolves when earlier listeners have released their resources. */
  private released: Promise<unknown> | undefined;
  private stopping: Promise<void> | undefined;

  constructor(address: Address, settings: ListenSettings<In, Out>, transport: Transport) {
    this.incidents = this.incidentSubject.asObservable();
    this.address = address;
    this.settings = settings;
    this.transport = transport;
    const { signal } = settings;
    if (signal !== undefined) this.stopListeningToSignal = onAbort(signal, () => void this.shutdown({}));
  }

  get connections(): ReadonlySet<SocketConnection<In, Out>> {
    return this.accepted.set;
  }

  /** Returns a connection for the client that has waited longest (S2). */
  take(): Connection<In, Out> | undefined {
    const socket = this.waitingSockets.shift();
    if (socket === undefined) return undefined;
    const connection = new SocketConnection<In, Out>(socket, this.settings, this);
    this.accepted.add(connection);
    // Its first bytes arrive in a later turn, after the subscriber to whom it is emitted now has subscribed to it.
    connection.open();
    this.lastEmitted?.expectClaim();
    this.lastEmitted = connection;
    // Outside `accept` there is no later check.
    if (!this.accepting) this.expectClaim();
    return connection;
  }

  finishing(): void {
    // A server has nothing else to send to.
  }

  failedAfter(error: SocketError): void {
    this.incidentSubject.next(error);
  }

  outlives(): boolean {
    return false;
  }

  connectionClosed(connection: SocketConnection<In, Out>, outcome: Closed): void {
    this.accepted.remove(connection);
    if (outcome.reason === 'failed' && outcome.error !== undefined) this.incidentSubject.next(outcome.error);
  }

  started(): void {
    if (this.stopping !== undefined) return;
    // A closed listener may still report events; they are ignored.
    const isCurrent = (): boolean => this.listener === listener;
    const events: ListenerEvents = {
      onListening: (address) => {
        if (!isCurrent()) return;
        this.bound = address;
        this.bindings.next(address);
      },
      onConnection: (socket) => {
        if (isCurrent()) this.accept(socket);
        else socket.reset();
      },
      onError: (error) => {
        if (isCurrent()) this.failed(error);
      },
      onIncident: (error) => {
        if (isCurrent()) this.incidentSubject.next(error);
      },
    };
    const listener = this.transport.listen(this.address, this.settings, events);
    this.listener = listener;
    if (this.multicast.held) listener.hold();
  }

  stopped(): void {
    this.unbind();
  }

  toggled(flowing: boolean): void {
    if (flowing) this.listener?.release();
    else this.listener?.hold();
  }

  ended(): void {
    // There is nothing to do after the end of a server.
  }

  defer(work: () => void): void {
    queueMicrotask(work);
  }

  /** Stops accepting, drains and closes every connection within `deadline` ms, and completes (S7). */
  shutdown(options: ShutdownOptions): Promise<void> {
    let settings: ShutdownSettings;
    try {
      settings = shutdownSettings(options, this.settings.closeTimeout);
    } catch (error) {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- it is a SocketError
      return Promise.reject(error);
    }
    const { deadline, drain } = settings;
    const { stopping } = this;
    if (stopping === undefined) return this.stop(deadline, drain);
    // A second call may shorten the deadline (S14).
    this.closeAll(deadline, drain);
    return stopping;
  }

  private stop(limit: number, drains: boolean): Promise<void> {
    // A subscriber that is notified in between may call `shutdown` again, and gets the same promise.
    let stopped: () => void = () => undefined;
    const stopping = new Promise<void>((resolve) => {
      stopped = resolve;
    });
    this.stopping = stopping;
    this.stopListeningToSignal?.();
    this.unbind();
    const { released } = this;
    this.bindings.complete();
    const closed = this.accepted.all().map((connection) => connection.closed);
    this.closeAll(limit, drains);
    // Without promises in between, so that it takes no time in `TestScheduler.run`.
    const over = (): void => {
      this.multicast.end();
      this.incidentSubject.complete();
      stopped();
    };
    merge(released === undefined ? EMPTY : from(released), ...closed).subscribe({ complete: over, error: over });
    return stopping;
  }

  private closeAll(limit: number, drains: boolean): void {
    for (const connection of this.accepted.all()) {
      if (drains) connection.drain(limit);
      else connection.closeNow(limit);
    }
  }

  private accept(socket: TransportSocket): void {
    const { acceptQueue, maxConnections } = this.settings;
    if (this.accepted.size + this.waitingSockets.length >= maxConnections) {
      this.refuse(socket, `maxConnections (${maxConnections}) are open`);
    } else if (
      !this.multicast.flowing &&
      this.listener?.stoppable !== true &&
      this.waitingSockets.length >= acceptQueue
    ) {
      this.refuse(socket, `acceptQueue (${acceptQueue}) clients are waiting while the server is held`);
    } else {
      this.waitingSockets.push(socket);
      this.accepting = true;
      this.multicast.drain();
      this.accepting = false;
      this.expectClaim();
    }
  }

  private expectClaim(): void {
    this.lastEmitted?.expectClaim();
    this.lastEmitted = undefined;
  }

  private refuse(socket: TransportSocket, why: string): void {
    socket.reset();
    this.incidentSubject.next(
      new SocketError('ERR_LIMIT_CONNECTIONS', `a client was reset: ${why}`, { address: socket.remote }),
    );
  }

  private failed(error: SocketError): void {
    this.unbind();
    this.multicast.interrupt(error);
  }

  /** Closes the listener, and resets the clients that still wait (S1). */
  private unbind(): void {
    if (this.listener === undefined) return;
    const closed = this.listener.close();
    if (closed !== undefined) this.released = Promise.all([this.released, closed]);
    this.listener = undefined;
    this.bound = undefined;
    for (const socket of this.waitingSockets.splice(0)) socket.reset();
    this.bindings.next(undefined);
  }
}
