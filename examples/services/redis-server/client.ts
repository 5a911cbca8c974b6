import type { Subscription } from 'rxjs';
import type { Connection } from 'rxjs-sockets';
import type { Database } from './database.js';
import type { Request } from './requests.js';
import { ErrorReply, type Value } from './resp.js';
import type { Topics } from './topics.js';

/** State that all clients share. */
export interface Service {
  readonly database: Database;
  readonly topics: Topics;
  /** The start time of the server, by `performance.now()`. */
  readonly started: number;
  readonly clients: () => number;
  answered: number;
}

const maxSubscriptions = 250;
const maxTopicName = 1_024; // bytes

export class Client {
  name = Buffer.alloc(0);
  readonly service: Service;
  private readonly connection: Connection<Request, Value>;
  private readonly subscriptions = new Map<string, Subscription>();

  constructor(service: Service, connection: Connection<Request, Value>) {
    this.service = service;
    this.connection = connection;
  }

  get isSubscribed(): boolean {
    return this.subscriptions.size > 0;
  }

  // #region subscribe
  /**
   * Subscribes the client to channels, and yields a confirmation for each channel. The generator continues only while
   * the client takes the answers.
   */
  *subscribe(names: readonly Buffer[]): Generator<Value> {
    for (const name of names) {
      const key = name.toString('latin1');
      if (!this.subscriptions.has(key)) {
        if (this.subscriptions.size === maxSubscriptions || name.length > maxTopicName) {
          yield new ErrorReply(`ERR at most ${maxSubscriptions} channels, with names of at most ${maxTopicName} bytes`);
          return;
        }
        this.subscriptions.set(key, this.service.topics.join(name, this.connection));
      }
      yield [Buffer.from('subscribe'), name, this.subscriptions.size];
    }
  }

  /**
   * Unsubscribes the client from the channels in `names`. If `names` is empty, unsubscribes the client from all
   * channels.
   */
  *unsubscribe(names: readonly Buffer[]): Generator<Value> {
    const all = [...this.subscriptions.keys()].map((key) => Buffer.from(key, 'latin1'));
    const chosen: readonly (Buffer | null)[] = names.length > 0 ? names : all.length > 0 ? all : [null];
    for (const name of chosen) {
      if (name !== null) this.leave(name.toString('latin1'));
      yield [Buffer.from('unsubscribe'), name, this.subscriptions.size];
    }
  }

  reset(): void {
    for (const key of this.subscriptions.keys()) this.leave(key);
    this.name = Buffer.alloc(0);
  }

  private leave(key: string): void {
    this.subscriptions.get(key)?.unsubscribe();
    this.subscriptions.delete(key);
  }
  // #endregion
}
