import type { Subscriber, TeardownLogic } from 'rxjs';
import type { ByteQueue } from '../bytes/byte-queue.js';
import type { Decoder } from '../codecs/codec.js';
import { SocketError } from '../errors/socket-error.js';
import { Flow } from '../flow/flow.js';
import type { Hold } from '../flow/hold.js';
import type { Multicast } from '../flow/multicast.js';
import type { ChannelHost } from './channel-host.js';
import { Receiver, type StreamPart } from './receiver.js';

/** A Flow of the next `size` bytes of a connection (C26). */
export class Body extends Flow<Buffer> {
  private readonly multicast: Multicast<Buffer>;

  constructor(host: ChannelHost, size: number) {
    super();
    const decoder = new BodyDecoder(size);
    this.multicast = new Receiver(host, () => decoder, decoder).multicast;
    if (size === 0) this.multicast.end();
  }

  override hold(): Hold {
    return this.multicast.hold();
  }

  protected override _subscribe(subscriber: Subscriber<Buffer>): TeardownLogic {
    return this.multicast.add(subscriber);
  }
}

/** Takes chunks off the queue as they arrive, until the body is complete. */
class BodyDecoder implements Decoder<Buffer>, StreamPart {
  private readonly size: number;
  /** The number of bytes of the body that have not been taken off the queue. */
  private left: number;

  constructor(size: number) {
    this.size = size;
    this.left = size;
  }

  get isComplete(): boolean {
    return this.left === 0;
  }

  decode(queue: ByteQueue): Buffer | undefined {
    const { head } = queue;
    if (this.left === 0 || head.length === 0) return undefined;
    const chunk = head.length > this.left ? head.subarray(0, this.left) : head;
    queue.skip(chunk.length);
    this.left -= chunk.length;
    return chunk;
  }

  end(): undefined {
    const message = `the stream has ended ${this.left} bytes before the end of a body of ${this.size} bytes`;
    throw new SocketError('ERR_FRAME_TRUNCATED', message);
  }
}
