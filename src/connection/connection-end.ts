import { AsyncSubject, ignoreElements, lastValueFrom, type Observable, of } from 'rxjs';
import type { SocketError } from '../errors/socket-error.js';
import type { Closed, Connection } from './connection.js';

/** Most connections end without a subscriber to `closed`, so the Subject is created when `closed` is first read. */
type State =
  | { readonly is: 'open' }
  | { readonly is: 'awaited'; readonly subject: AsyncSubject<Closed> }
  | { readonly is: 'reached'; readonly outcome: Closed; readonly subject: AsyncSubject<Closed> | undefined };

const open: State = { is: 'open' };

export class ConnectionEnd {
  private state: State = open;
  private promise: Promise<void> | undefined;

  get closed(): Observable<Closed> {
    const { state } = this;
    switch (state.is) {
      case 'open': {
        const subject = new AsyncSubject<Closed>();
        this.state = { is: 'awaited', subject };
        return subject;
      }
      case 'awaited':
        return state.subject;
      case 'reached':
        return of(state.outcome);
    }
  }

  get reached(): Promise<void> {
    this.promise ??= lastValueFrom(this.closed.pipe(ignoreElements()), { defaultValue: undefined });
    return this.promise;
  }

  /** Sets the outcome. To report the outcome to the subscribers of `closed`, call `emit` afterwards. */
  reach(outcome: Closed): void {
    this.state = { is: 'reached', outcome, subject: this.state.is === 'awaited' ? this.state.subject : undefined };
  }

  emit(): void {
    if (this.state.is !== 'reached' || this.state.subject === undefined) return;
    this.state.subject.next(this.state.outcome);
    this.state.subject.complete();
  }
}

/** The outcome of a connection. `connection` is a getter, so that `JSON.stringify` leaves it out. */
export class Outcome implements Closed {
  readonly reason: Closed['reason'];
  declare readonly error?: SocketError;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly #connection: Connection<any, any>;

  constructor(
    connection: Connection<any, any>,
    reason: Closed['reason'],
    error: SocketError | undefined,
    bytesRead: number,
    bytesWritten: number,
  ) {
    this.reason = reason;
    if (error !== undefined) this.error = error;
    this.bytesRead = bytesRead;
    this.bytesWritten = bytesWritten;
    this.#connection = connection;
  }

  get connection(): Connection<any, any> {
    return this.#connection;
  }
}
