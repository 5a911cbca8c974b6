import type net from 'node:net';
import { readBlock } from '../../bytes/shared-read-block.js';
import type { DirectRead } from './internals/direct-read.js';
import { listenTo, plainEnd, type Reader, type ReaderOwner, stopListening, type StreamListener } from './reader.js';

/** How many sockets at once may read into a block of their own. Each keeps its block for as long as nothing comes. */
const maxOwnBlocks = 64;
let ownBlocks = 0;

const directReader = Symbol('rxjs-sockets.directReader');

interface DirectlyRead extends net.Socket {
  [directReader]?: DirectReader;
}

function onRead(this: DirectlyRead, count: number, memory: Buffer): true {
  this[directReader]?.read(count, memory);
  return true;
}

/**
 * Reads a socket without TLS into the block that all sockets share: a chunk there is only lent. A receiver that keeps much of
 * what comes gets a block for good, as long as there are few such receivers.
 */
export class DirectReader implements Reader, StreamListener {
  private readonly socket: net.Socket;
  private readonly direct: DirectRead;
  private readonly owner: ReaderOwner;
  /** The memory that the next bytes come into: that of all sockets, its own block, or where the bytes belong. */
  private memory: 'shared' | 'own' | 'room' = 'shared';
  private isStopped = false;
  private isReleased = false;

  /** Returns undefined where Node cannot read into given memory, or where the receiver does not say what it keeps. */
  static of(socket: net.Socket, owner: ReaderOwner): DirectReader | undefined {
    const { directRead } = owner.internals;
    if (directRead === undefined || owner.events.keeps === undefined) return undefined;
    return directRead.start(socket, readBlock, onRead) ? new DirectReader(socket, directRead, owner) : undefined;
  }

  private constructor(socket: net.Socket, direct: DirectRead, owner: ReaderOwner) {
    this.socket = socket;
    this.direct = direct;
    this.owner = owner;
    (socket as DirectlyRead)[directReader] = this;
    listenTo(socket, this, 'end only');
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  stop(): void {
    this.isStopped = true;
    stopListening(this.socket);
  }

  release(): void {
    this.stop();
    this.isReleased = true;
    this.useShared();
    this.direct.release(this.socket, readBlock);
  }

  /** @internal */
  received(chunk: Buffer): void {
    this.owner.events.onData(chunk);
  }

  /** @internal */
  ended(): void {
    this.owner.streamEnded(plainEnd(this.socket, this.owner.internals));
  }

  /**
   * A chunk lies at the beginning of `memory`.
   *
   * @internal
   */
  read(count: number, memory: Buffer): void {
    const wasOwn = this.memory === 'own';
    this.useShared();
    if (this.isStopped) return;
    const isLarge = count >= readBlock.length / 2;
    try {
      if (isLarge || !wasOwn) this.received(memory.subarray(0, count));
      else {
        // The little that has come is not worth a block.
        memory.copy(readBlock, 0, 0, count);
        this.received(readBlock.subarray(0, count));
      }
    } catch (error) {
      // Thrown from here, it would keep Node from asking for the next memory: it would overwrite what was given away.
      setImmediate(() => {
        throw error;
      });
    }
    const next = this.nextMemory(isLarge);
    if (next !== memory) this.direct.continueIn(this.socket, next);
  }

  private nextMemory(isLarge: boolean): Buffer {
    const { room, keeps } = this.owner.events;
    if (room !== undefined) {
      this.memory = 'room';
      return room;
    }
    if (!isLarge || keeps !== true || ownBlocks === maxOwnBlocks || this.isReleased) return readBlock;
    this.memory = 'own';
    ownBlocks++;
    return Buffer.allocUnsafeSlow(readBlock.length);
  }

  private useShared(): void {
    if (this.memory === 'own') ownBlocks--;
    this.memory = 'shared';
  }
}
