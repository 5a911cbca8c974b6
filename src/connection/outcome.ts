import { AsyncSubject, ignoreElements, lastValueFrom } from 'rxjs';
import type { SocketError } from '../errors/socket-error.js';
import type { Closed, Connection } from './connection.js';

/** How a connection ended. `connection` is a getter, so that the outcome can be logged as JSON. */
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

/** Gives the outcome to everyone who waits for it. */
export class Ending extends AsyncSubject<Closed> {
  private promise: Promise<void> | undefined;

  /** Always the same one. */
  get reached(): Promise<void> {
    this.promise ??= lastValueFrom(this.pipe(ignoreElements()), { defaultValue: undefined });
    return this.promise;
  }

  reach(outcome: Closed): void {
    this.next(outcome);
    this.complete();
  }
}
