import { EMPTY, from, merge, Observable, Subject } from 'rxjs';
import { onAbort } from '../options/abort-signal.js';
import type { Address } from '../address/address.js';
import type { Closed, Connection } from '../connection/connection.js';
import { SocketError } from '../errors/socket-error.js';
import { type FlowSource, Multicast } from '../flow/multicast.js';
import type { ShutdownOptions } from '../options/shutdown-options.js';
import type { ListenSettings } from '../options/listen-options.js';
import { checkOptions, duration, flag, withDefault } from '../validation/checks.js';
import { ConnectionList } from '../connection/connection-list.js';
import { type ConnectionOwner, SocketConnection } from '../connection/socket-connection.js';
import type { Listener, ListenerEvents, Transport, TransportSocket } from '../transport/transport.js';

/** What a Server does: one listener for as long as there are subscribers, and the connections that it accepted. */
export class Acceptor<In, Out> implements FlowSource<Connection<In, Out>>, ConnectionOwner<In, Out> {
  readonly multicast: Multicast<Connection<In, Out>> = new Multicast(this);
  readonly reports = true;
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
  private readonly troubles = new Subject<SocketError>();
  private readonly bindings = new Subject<Address | undefined>();
  private readonly roster = new ConnectionList<SocketConnection<In, Out>>();
  private readonly waiting: TransportSocket[] = [];
  /** What was emitted last, as long as it was not looked at whether somebody reads it. */
  private newest: SocketConnection<In, Out> | undefined;
  private accepting = false;
  private readonly ignoreSignal: (() => void) | undefined;
  private listener: Listener | undefined;
  private bound: Address | undefined;
  /** Resolves once the system has everything back that the listeners before had. */
  private unbound: Promise<unknown> | undefined;
  private stopping: Promise<void> | undefined;

  constructor(address: Address, settings: ListenSettings<In, Out>, transport: Transport) {
    this.incidents = this.troubles.asObservable();
    this.address = address;
    this.settings = settings;
    this.transport = transport;
    const { signal } = settings;
    if (signal !== undefined) this.ignoreSignal = onAbort(signal, () => void this.shutdown({}));
  }

  get connections(): ReadonlySet<SocketConnection<In, Out>> {
    return this.roster.set;
  }

  /** Gives the client that has waited longest (S2). */
  take(): Connection<In, Out> | undefined {
    const socket = this.waiting.shift();
    if (socket === undefined) return undefined;
    const connection = new SocketConnection<In, Out>(socket, this.settings, this);
    this.roster.add(connection);
    // Its first bytes come in a later turn, when whoever gets it now has subscribed.
    connection.open();
    this.newest?.expectClaim();
    this.newest = connection;
    // Elsewhere nobody looks again, once it was emitted.
    if (!this.accepting) this.expectClaim();
    return connection;
  }

  finishing(): void {
    // A server has nothing else to send to.
  }

  failedAfter(error: SocketError): void {
    this.troubles.next(error);
  }

  outlives(): boolean {
    return false;
  }

  gone(connection: SocketConnection<In, Out>, outcome: Closed): void {
    this.roster.remove(connection);
    if (outcome.reason === 'failed' && outcome.error !== undefined) this.troubles.next(outcome.error);
  }

  started(): void {
    if (this.stopping !== undefined) return;
    // A listener that was closed may still have something to tell: it is told to nobody.
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
        if (isCurrent()) this.troubles.next(error);
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

  told(): void {
    // A server that has ended has nothing to do after that.
  }

  defer(work: () => void): void {
    queueMicrotask(work);
  }

  /** Stops accepting, drains and closes every connection within `deadline` ms, and completes (S7). */
  shutdown(options: ShutdownOptions): Promise<void> {
    let checked: { readonly deadline: number; readonly drain: boolean };
    try {
      const deadline = withDefault(duration, this.settings.closeTimeout);
      checked = checkOptions({ deadline, drain: withDefault(flag, true) }, options);
    } catch (error) {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- it is a SocketError
      return Promise.reject(error);
    }
    const { deadline, drain } = checked;
    const { stopping } = this;
    if (stopping === undefined) return this.stop(deadline, drain);
    // A second call may be in more of a hurry (S14).
    this.closeAll(deadline, drain);
    return stopping;
  }

  private stop(limit: number, drains: boolean): Promise<void> {
    // Who is told of the first steps may call again, and gets this promise too.
    let stopped: () => void = () => undefined;
    const stopping = new Promise<void>((resolve) => {
      stopped = resolve;
    });
    this.stopping = stopping;
    this.ignoreSignal?.();
    this.unbind();
    const { unbound } = this;
    this.bindings.complete();
    const closed = this.roster.all().map((connection) => connection.closed);
    this.closeAll(limit, drains);
    // No promise on the way, so that it takes no time within `TestScheduler.run`.
    const over = (): void => {
      this.multicast.end();
      this.troubles.complete();
      stopped();
    };
    merge(unbound === undefined ? EMPTY : from(unbound), ...closed).subscribe({ complete: over, error: over });
    return stopping;
  }

  private closeAll(limit: number, drains: boolean): void {
    for (const connection of this.roster.all()) {
      if (drains) connection.drain(limit);
      else connection.closeNow(limit);
    }
  }

  private accept(socket: TransportSocket): void {
    const { acceptQueue, maxConnections } = this.settings;
    if (this.roster.size + this.waiting.length >= maxConnections) {
      this.refuse(socket, `maxConnections (${maxConnections}) are open`);
    } else if (!this.multicast.flowing && this.listener?.stoppable !== true && this.waiting.length >= acceptQueue) {
      this.refuse(socket, `acceptQueue (${acceptQueue}) clients wait while the server is held`);
    } else {
      this.waiting.push(socket);
      this.accepting = true;
      this.multicast.drain();
      this.accepting = false;
      this.expectClaim();
    }
  }

  private expectClaim(): void {
    this.newest?.expectClaim();
    this.newest = undefined;
  }

  private refuse(socket: TransportSocket, why: string): void {
    socket.reset();
    this.troubles.next(
      new SocketError('ERR_LIMIT_CONNECTIONS', `a client was reset: ${why}`, { address: socket.remote }),
    );
  }

  private failed(error: SocketError): void {
    this.unbind();
    this.multicast.interrupt(error);
  }

  /** Gives the name back; who still waits is reset (S1). */
  private unbind(): void {
    if (this.listener === undefined) return;
    const closed = this.listener.close();
    if (closed !== undefined) this.unbound = Promise.all([this.unbound, closed]);
    this.listener = undefined;
    this.bound = undefined;
    for (const socket of this.waiting.splice(0)) socket.reset();
    this.bindings.next(undefined);
  }
}
