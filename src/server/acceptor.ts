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
 * The states of a server's listener. A server that fails, or loses its last subscriber, becomes `unbound` again.
 * `stopping` is final.
 */
type ListenState =
  | { readonly is: 'unbound' }
  | { readonly is: 'binding'; readonly listener: Listener }
  | { readonly is: 'bound'; readonly listener: Listener; readonly address: Address }
  | { readonly is: 'stopping'; readonly stopped: Promise<void> };

/**
 * The state of a Server: its listener, the accepted sockets that have not been emitted yet, and the open connections.
 */
export class Acceptor<In, Out> implements FlowSource<Connection<In, Out>>, ConnectionOwner<SocketConnection<In, Out>> {
  readonly multicast: Multicast<Connection<In, Out>> = new Multicast(this);
  readonly hasIncidents = true;
  readonly incidents: Observable<SocketError>;
  /** Emits the bound address, immediately if the server is already bound. Subscribing does not bind the server (S1). */
  readonly listening: Observable<Address> = new Observable((subscriber) => {
    if (this.state.is === 'stopping') subscriber.complete();
    else if (this.state.is === 'bound') subscriber.next(this.state.address);
    return this.changes.subscribe({
      next: (state) => {
        if (state.is === 'bound') subscriber.next(state.address);
        else subscriber.complete();
      },
      error: (error: unknown) => subscriber.error(error),
    });
  });

  private readonly address: Address;
  private readonly settings: ListenSettings<In, Out>;
  private readonly transport: Transport;
  private readonly incidentSubject = new Subject<SocketError>();
  private state: ListenState = { is: 'unbound' };
  /** Emits each new state except `binding`. */
  private readonly changes = new Subject<ListenState>();
  private readonly accepted = new ConnectionList<SocketConnection<In, Out>>();
  private readonly waitingSockets: TransportSocket[] = [];
  /** The last emitted connection, until `expectClaim` is called on that connection. */
  private lastEmitted: SocketConnection<In, Out> | undefined;
  private accepting = false;
  private readonly stopListeningToSignal: (() => void) | undefined;
  /** Resolves when earlier listeners have released their resources. */
  private released: Promise<unknown> | undefined;

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

  /** Makes a connection from the oldest waiting socket (S2). */
  take(): Connection<In, Out> | undefined {
    const socket = this.waitingSockets.shift();
    if (socket === undefined) return undefined;
    const connection = new SocketConnection<In, Out>(socket, this.settings, this);
    this.accepted.add(connection);
    // The first bytes arrive in a later turn, so a subscriber of the server can subscribe to the connection before the
    // bytes arrive.
    connection.open();
    this.lastEmitted?.expectClaim();
    this.lastEmitted = connection;
    // While `accept` runs, `accept` itself calls `expectClaim` after the connection has been emitted.
    if (!this.accepting) this.expectClaim();
    return connection;
  }

  finishing(): void {
    // Nothing to do, because the values that an accepted connection has not sent are never sent on another connection.
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
    if (this.state.is === 'stopping') return;
    // Ignore the events of a listener that has been closed.
    const isCurrent = (): boolean => this.listener === listener;
    const events: ListenerEvents = {
      onListening: (address) => {
        if (!isCurrent()) return;
        this.state = { is: 'bound', listener, address };
        this.changes.next(this.state);
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
    this.state = { is: 'binding', listener };
    if (this.multicast.held) listener.hold();
  }

  stopped(): void {
    this.unbind({ is: 'unbound' });
  }

  heldChanged(isHeld: boolean): void {
    if (isHeld) this.listener?.hold();
    else this.listener?.release();
  }

  ended(): void {
    // Nothing to do when the subscribers have been notified of the end.
  }

  defer(work: () => void): void {
    queueMicrotask(work);
  }

  shutdown(options: ShutdownOptions): Promise<void> {
    let settings: ShutdownSettings;
    try {
      settings = shutdownSettings(options, this.settings.closeTimeout);
    } catch (error) {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- it is a SocketError
      return Promise.reject(error);
    }
    const { deadline, drain } = settings;
    const { state } = this;
    if (state.is !== 'stopping') return this.stop(deadline, drain);
    // A second call of `shutdown` can shorten the deadline (S14).
    this.closeAll(deadline, drain);
    return state.stopped;
  }

  private stop(limit: number, drains: boolean): Promise<void> {
    // Set the state first. A subscriber that is notified below may call `shutdown` again, and both calls must return
    // the same promise.
    let stopped: () => void = () => undefined;
    const stopping = new Promise<void>((resolve) => {
      stopped = resolve;
    });
    this.stopListeningToSignal?.();
    this.unbind({ is: 'stopping', stopped: stopping });
    const { released } = this;
    const closed = this.accepted.all().map((connection) => connection.closed);
    this.closeAll(limit, drains);
    // Promises do not settle within `TestScheduler.run`, so wait with Observables.
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
      this.refuse(socket, `maxConnections (${maxConnections}) is reached`);
    } else if (
      !this.multicast.flowing &&
      this.listener?.stoppable !== true &&
      this.waitingSockets.length >= acceptQueue
    ) {
      this.refuse(socket, `the server is held, and acceptQueue (${acceptQueue}) is full`);
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
    this.unbind({ is: 'unbound' });
    this.multicast.interrupt(error);
  }

  private get listener(): Listener | undefined {
    const { state } = this;
    return state.is === 'binding' || state.is === 'bound' ? state.listener : undefined;
  }

  /** Closes the listener, and resets the accepted sockets that have not been emitted yet (S1). */
  private unbind(next: ListenState & { readonly is: 'unbound' | 'stopping' }): void {
    const { listener, state } = this;
    if (state.is === 'stopping' || state.is === next.is) return;
    this.state = next;
    const closed = listener?.close();
    if (closed !== undefined) this.released = Promise.all([this.released, closed]);
    for (const socket of this.waitingSockets.splice(0)) socket.reset();
    this.changes.next(next);
  }
}
