import type net from 'node:net';
import { readBlock } from '../../bytes/shared-read-block.js';
import type { BorrowingSocketEvents } from '../transport.js';
import type { DirectRead } from './internals/direct-read.js';
import type { NodeInternals } from './internals/internals.js';
import {
  changesMemory,
  endOfFile,
  errnoError,
  forgetMemory,
  type StreamHandle,
  type StreamHandles,
} from './internals/stream-handle.js';
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

/**
 * The memory that a socket without TLS reads into: a block that all sockets share. The receiver only borrows a chunk in
 * this block: the chunk is valid until `onData` returns. If the receiver keeps chunks, and the last chunk was large, the
 * socket reads the next chunk into a new block. The receiver may keep this block.
 */
class ReadMemory {
  private readonly events: BorrowingSocketEvents;
  /** Where the next bytes go: to the shared block, this socket's own block, the receiver's `room`, or nowhere. */
  private state: 'shared' | 'own' | 'room' | 'stopped' = 'shared';

  constructor(events: BorrowingSocketEvents) {
    this.events = events;
  }

  stop(): void {
    this.change('stopped');
  }

  /** Delivers the first `count` bytes of `memory`. Returns the memory for the next bytes. */
  deliver(memory: Buffer, count: number): Buffer {
    if (this.state === 'stopped') return memory;
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
    return this.nextMemory(isLarge);
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

  private change(state: ReadMemory['state']): void {
    if (this.state === 'own') ownBlocks--;
    if (state === 'own') ownBlocks++;
    this.state = state;
  }
}

function onRead(this: ReadSocket, count: number, memory: Buffer): true {
  this[listener]?.received(memory, count);
  return true;
}

/** Reads from a socket without TLS into {@link ReadMemory}. */
export class DirectReader implements SocketReader, ReadListener {
  private readonly socket: net.Socket;
  private readonly direct: DirectRead;
  private readonly memory: ReadMemory;
  private readonly owner: ReaderOwner;

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
    this.memory = new ReadMemory(events);
    this.owner = owner;
    listenTo(socket, this, 'in memory');
  }

  stop(): void {
    this.memory.stop();
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
    const next = this.memory.deliver(memory, count);
    if (next !== memory) this.direct.continueIn(this.socket, next);
  }
}

const handleReader: unique symbol = Symbol('rxjs-sockets.reader');

type ReadHandle = StreamHandle & { [handleReader]?: HandleReader };

function onHandleRead(this: ReadHandle, chunk: ArrayBuffer | undefined): Uint8Array | undefined {
  return this[handleReader]?.received(chunk);
}

export interface HandleReaderOwner extends ReaderOwner {
  /** Called once, instead of `ended`, if reading has failed. */
  failed(error: Error): void;
}

/** Reads from a handle, into {@link ReadMemory} if the receiver can accept borrowed chunks. */
export class HandleReader implements SocketReader {
  private readonly handle: ReadHandle;
  private readonly handles: StreamHandles;
  private readonly events: BorrowingSocketEvents;
  private readonly owner: HandleReaderOwner;
  /** Undefined if Node allocates memory for each chunk. */
  private readonly memory: ReadMemory | undefined;
  private block: Buffer = readBlock;
  private state: 'paused' | 'reading' | 'stopped' = 'paused';

  /** The reader is paused at first. */
  constructor(handle: ReadHandle, handles: StreamHandles, events: BorrowingSocketEvents, owner: HandleReaderOwner) {
    this.handle = handle;
    this.handles = handles;
    this.events = events;
    this.owner = owner;
    handle[handleReader] = this;
    handle.onread = onHandleRead;
    if (events.keeps === undefined) return;
    this.memory = new ReadMemory(events);
    handle.useUserBuffer(this.block);
  }

  pause(): void {
    if (this.state !== 'reading') return;
    this.state = 'paused';
    this.handle.readStop();
  }

  resume(): void {
    // `readStart` fails with EALREADY if it is called twice.
    if (this.state !== 'paused') return;
    this.state = 'reading';
    const status = this.handle.readStart();
    if (status === 0) return;
    process.nextTick(() => {
      this.fail(status);
    });
  }

  stop(): void {
    this.pause();
    this.state = 'stopped';
    this.memory?.stop();
  }

  release(): void {
    this.state = 'stopped';
    this.memory?.stop();
    this.block = readBlock;
    forgetMemory(this.handle);
  }

  /** @internal */
  received(chunk: ArrayBuffer | undefined): Uint8Array | undefined {
    const { events, handle, handles, memory, owner, state } = this;
    const result = handles.readResult;
    if (state === 'stopped' || result === 0) return undefined;
    if (result < 0) {
      if (result !== endOfFile) this.fail(result);
      else {
        this.state = 'stopped';
        owner.ended(true);
      }
      return undefined;
    }
    if (memory === undefined) {
      if (chunk !== undefined) events.onData(Buffer.from(chunk, handles.chunkOffset, result));
      return undefined;
    }
    const next = memory.deliver(this.block, result);
    if (next === this.block) return undefined;
    this.block = next;
    changesMemory(handle, next);
    return next;
  }

  private fail(status: number): void {
    if (this.state === 'stopped') return;
    this.state = 'stopped';
    this.owner.failed(errnoError(status, 'read'));
  }
}
