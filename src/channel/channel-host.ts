import type { Observable } from 'rxjs';
import { SocketError } from '../errors/socket-error.js';
import type { Inbound, Reader } from '../io/inbound.js';
import type { SendLane } from '../io/outbound.js';

/**
 * What a Channel is a view of.
 */
export const host: unique symbol = Symbol('rxjs-sockets.host');

/**
 * Sends a value through a Channel, and follows it to the connection that takes it.
 */
export const track: unique symbol = Symbol('rxjs-sockets.track');

/** Has a Channel send what a Node stream was given. */
export const offer: unique symbol = Symbol('rxjs-sockets.offer');

/** Makes a Channel with the same codec for one connection of a client. */
export const ofConnection: unique symbol = Symbol('rxjs-sockets.ofConnection');

/** A connection, as far as a sender has to know on which one its values went out. */
export interface Carrier {
  readonly inbound: Inbound;
  readonly closed: Observable<{ readonly error?: SocketError }>;
  fail(error: SocketError): void;
}

/** Told when a connection has nothing more to be read, though its channel goes on to another one. */
export type StreamEndListener = (connection: Carrier, end: 'fin' | SocketError) => void;

/**
 * What a Channel is a view of: a connection, or a client with its connections.
 */
export interface ChannelHost {
  /** Where the bytes come from, while there is a connection. */
  readonly inbound: Inbound | undefined;
  /** Where the values go. */
  readonly lane: SendLane;
  /** The connection that is there now. */
  readonly carrier: Carrier | undefined;
  /** Those who want to know of each stream that has ended and that another one may follow. */
  readonly streamEnds?: Set<StreamEndListener>;
  /** Whether a server reports how it ends. */
  readonly reports: boolean;
  /** The channel has its first subscriber. */
  observed(channel: Reader): void;
  /** The channel has lost its last subscriber. */
  unobserved(channel: Reader): void;
  /** All that was received has been emitted, and this is how the stream ended: to be concluded. */
  readerDrained(reader: Reader, end: 'fin' | SocketError): void;
  /** Whether another stream follows this one, so that its end is not the channel's. */
  readonly continues: boolean;
  /** The channel is about to tell its subscribers that the stream has ended. */
  readerEnding(reader: Reader): void;
  /** They know: whoever sends on what the channel gives has had its chance (C7). */
  readerEnded(): void;
  /** What was received can't be decoded: nothing that follows can be understood. */
  badFrame(error: SocketError): void;
  /** Whether there may be another stream after this one. */
  readonly reusable: boolean;
  /** The channel may emit again. */
  ready(): void;
  /** A value that can't be encoded ends the connection. */
  fail(error: SocketError): void;
  /** What is being sent, or a handler, has failed with `cause`, which ends the connection unless it is its own error. */
  failedBy(cause: unknown): void;
  /** Whether `error` is how this has ended. */
  owns(error: unknown): boolean;
  /** Ends the sending side after what was sent. */
  complete(): void;
  /** The user ends it. */
  destroy(reason: unknown): void;
  /** Closes gracefully. */
  close(): Promise<void>;
  /** Runs `work` once the running code has ended. */
  defer(work: () => void): void;
}
