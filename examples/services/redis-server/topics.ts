/** Publishing and subscribing. Each Redis channel is a Broadcast to the subscribers of the channel. */
import type { Subscription } from 'rxjs';
import { Broadcast, type Connection } from 'rxjs-sockets';
import type { Codec } from 'rxjs-sockets/codecs';
import type { Value } from './resp.js';

export class Topics {
  private readonly codec: Codec<unknown, Value>;
  private readonly topics = new Map<string, Broadcast<Value>>();

  constructor(codec: Codec<unknown, Value>) {
    this.codec = codec;
  }

  get size(): number {
    return this.topics.size;
  }

  // #region publish
  /**
   * Sends a message to the subscribers of a channel, and returns how many subscribers there are. If a subscriber reads
   * too slowly, the subscriber exceeds `maxBuffered`, and the server disconnects that subscriber.
   */
  publish(name: Buffer, message: Buffer): number {
    const topic = this.topics.get(name.toString('latin1'));
    topic?.next([Buffer.from('message'), name, message]);
    return topic?.size ?? 0;
  }

  /** Subscribes a connection to a channel, until the caller unsubscribes the returned Subscription. */
  join(name: Buffer, connection: Connection<any, any>): Subscription {
    const key = name.toString('latin1');
    const topic = this.topics.get(key) ?? new Broadcast(this.codec);
    this.topics.set(key, topic);
    const membership = topic.join(connection);
    membership.add(() => {
      if (topic.size === 0 && this.topics.get(key) === topic) this.topics.delete(key);
    });
    return membership;
  }
  // #endregion
}
