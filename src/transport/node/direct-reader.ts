import type net from 'node:net';
import { readBlock } from '../../bytes/shared-read-block.js';
import type { BorrowingSocketEvents } from '../transport.js';
import type { DirectRead } from './internals/direct-read.js';
import type { NodeInternals } from './internals/internals.js';
import {
  listener,
  listenTo,
  type SocketReader,
  type ReaderOwner,
  type ReadListener,
  type ReadSocket,
  stopListening,
} from './reader.js';

/**
 * The maximum number of sockets that have a block of their own. A socket keeps its block until more bytes arrive, so
 * without this limit, many idle sockets could keep many blocks.
 */
const maxOwnBlocks = 64;
let ownBlocks = 0;

function onRead(this: ReadSocket, count: number, memory: Buffer): true {
  this[listener]?.received(memory, count);
  return true;
}

/**
 * Reads from a socket that does not use TLS. The bytes go into a block that all sockets share. The receiver only
 * borrows a chunk in this block: the chunk is valid until `onData` returns. If the receiver keeps chunks, and the last
 * chunk was large, the socket reads the next chunk into a new block. The receiver may keep this block.
 */
export class DirectReader implements SocketReader, ReadListener {
  private readonly socket: net.Socket;
  private readonly direct: DirectRead;
  private readonly events: BorrowingSocketEvents;
  private readonly owner: ReaderOwner;
  /** Where the next bytes go: to the shared block, this socket's own block, the receiver's `room`, or nowhere. */
  private state: 'shared' | 'own' | 'room' | 'stopped' = 'shared';

  /**
   * Returns a reader for `socket`; undefined if Node cannot read into the library's memory, or if the receiver cannot
   * accept borrowed chunks.
   */
  static of(
    socket: net.Socket,
    events: BorrowingSocketEvents,
    owner: ReaderOwner,
    { directRead }: NodeInternals,
  ): DirectReader | undefined {
    if (directRead === undefined || events.keeps === undefined) return undefined;
    return directRead.start(socket, readBlock, onRead)
      ? new DirectReader(socket, directRead, events, owner)
      : undefined;
  }

  private constructor(socket: net.Socket, direct: DirectRead, events: BorrowingSocketEvents, owner: ReaderOwner) {
    this.socket = socket;
    this.direct = direct;
    this.events = events;
    this.owner = owner;
    listenTo(socket, this, 'in memory');
  }

  stop(): void {
    this.change('stopped');
    stopListening(this.socket);
  }

  release(): void {
    this.stop();
    this.direct.release(this.socket, readBlock);
  }

  /** @internal */
  ended(): void {
    this.owner.ended(true);
  }

  /** @internal */
  received(memory: Buffer, count: number): void {
    if (this.state === 'stopped') return;
    const wasOwn = this.state === 'own';
    this.change('shared');
    const isLarge = count >= readBlock.length / 2;
    try {
      if (isLarge || !wasOwn) this.events.onData(memory.subarray(0, count));
      else {
        // Copy a small chunk, so that it does not keep a whole block in memory.
        memory.copy(readBlock, 0, 0, count);
        this.events.onData(readBlock.subarray(0, count));
      }
    } catch (error) {
      // If this method threw, the socket would use this memory again, although the receiver may have kept it. So throw
      // the error later.
      setImmediate(() => {
        throw error;
      });
    }
    const next = this.nextMemory(isLarge);
    if (next !== memory) this.direct.continueIn(this.socket, next);
  }

  private nextMemory(isLarge: boolean): Buffer {
    // Bytes that arrive after a stop are dropped.
    if (this.isStopped) return readBlock;
    const { room, keeps } = this.events;
    if (room !== undefined) {
      this.change('room');
      return room;
    }
    if (!isLarge || keeps !== true || ownBlocks === maxOwnBlocks) return readBlock;
    this.change('own');
    return Buffer.allocUnsafeSlow(readBlock.length);
  }

  private get isStopped(): boolean {
    return this.state === 'stopped';
  }

  private change(state: DirectReader['state']): void {
    if (this.state === 'own') ownBlocks--;
    if (state === 'own') ownBlocks++;
    this.state = state;
  }
}
