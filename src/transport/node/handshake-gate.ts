import type net from 'node:net';
import type { Address } from '../../address/address.js';
import { SocketError } from '../../errors/socket-error.js';
import { ChunkQueue } from '../../bytes/chunk-queue.js';
import { Timer } from '../../scheduling/timer.js';
import { parseProxyHeader } from '../../proxy-protocol/parse-proxy-header.js';
import type { Secured, TlsAcceptor } from './tls/handshake.js';

/** What accepted sockets have to go through. */
export interface AdmissionRules {
  readonly tls: TlsAcceptor | undefined;
  /** Whose PROXY header is believed, where one is required. */
  readonly trusted: ((peer: Address) => boolean) | undefined;
  /** How long all of it may take, in ms; 0 means for ever. */
  readonly handshakeTimeout: number;
  /** How many may be at it at once. */
  readonly most: number;
}

/** Told of what came of an accepted socket. */
export interface AdmissionEvents {
  /** It may be served; `secured` is what to read from where TLS is on. */
  admitted(raw: net.Socket, remote: Address, secured: Secured | undefined): void;
  /** It was dropped. */
  refused(error: SocketError): void;
}

/** What stands between an accepted socket and the server: first a PROXY header, then a TLS handshake, or neither. */
export class HandshakeGate {
  private readonly rules: AdmissionRules;
  private readonly events: AdmissionEvents;
  private readonly entrances = new Set<Entrance>();

  constructor(rules: AdmissionRules, events: AdmissionEvents) {
    this.rules = rules;
    this.events = events;
  }

  admit(raw: net.Socket, remote: Address): void {
    const { tls, trusted, most } = this.rules;
    if (tls === undefined && trusted === undefined) {
      this.events.admitted(raw, remote, undefined);
      return;
    }
    raw.on('error', ignore);
    if (this.entrances.size >= most) {
      raw.destroy();
      const message = `a client was dropped: ${most} handshakes are under way`;
      this.events.refused(new SocketError('ERR_LIMIT_CONNECTIONS', message, { address: remote }));
      return;
    }
    const entrance = new Entrance(raw, remote, this.rules, {
      admitted: (socket, peer, secured) => {
        this.entrances.delete(entrance);
        socket.off('error', ignore);
        this.events.admitted(socket, peer, secured);
      },
      refused: (error) => {
        this.entrances.delete(entrance);
        raw.destroy();
        this.events.refused(error);
      },
    });
    this.entrances.add(entrance);
    entrance.begin();
  }

  /** Drops whoever is still at it. */
  close(): void {
    for (const entrance of this.entrances) entrance.abort();
    this.entrances.clear();
  }
}

/** One socket on its way in. It ends in exactly one event, unless it is aborted. */
class Entrance {
  private readonly raw: net.Socket;
  private readonly rules: AdmissionRules;
  private readonly events: AdmissionEvents;
  private readonly queue = new ChunkQueue();
  private remote: Address;
  private timer: Timer | undefined;
  private ended = false;

  constructor(raw: net.Socket, remote: Address, rules: AdmissionRules, events: AdmissionEvents) {
    this.raw = raw;
    this.remote = remote;
    this.rules = rules;
    this.events = events;
  }

  begin(): void {
    const { handshakeTimeout, trusted } = this.rules;
    if (handshakeTimeout > 0) {
      this.timer = new Timer(handshakeTimeout, () => {
        const message = `the handshake was not over within ${handshakeTimeout} ms`;
        this.refuse(new SocketError('ERR_TIMEOUT_HANDSHAKE', message, { address: this.remote }));
      });
    }
    if (trusted === undefined) this.secure();
    else if (trusted(this.remote)) this.readHeader();
    else this.refuse(this.headerError('a peer that is not trusted has to send a PROXY header'));
  }

  abort(): void {
    this.ended = true;
    this.timer?.unsubscribe();
    this.raw.destroy();
  }

  private readHeader(): void {
    this.raw.on('data', this.onData);
    this.raw.on('end', this.onEnd);
    this.raw.on('close', this.onEnd);
    this.raw.resume();
  }

  private readonly onData = (chunk: Buffer): void => {
    this.queue.push(chunk);
    let header;
    try {
      header = parseProxyHeader(this.queue);
    } catch (cause) {
      const { code, message } = cause instanceof SocketError ? cause : this.headerError(String(cause));
      // The header was read without knowing from whom it comes.
      this.refuse(new SocketError(code, message, { address: this.remote, cause }));
      return;
    }
    if (header === undefined) return;
    this.leaveHeader();
    // What follows the header goes back: it is the first that the server, or TLS, will read.
    this.raw.pause();
    this.queue.skip(header.length);
    if (this.queue.length > 0) this.raw.unshift(this.queue.take(this.queue.length));
    this.remote = header.remote ?? this.remote;
    this.secure();
  };

  private readonly onEnd = (): void => {
    this.refuse(this.headerError('the stream ended before its PROXY header did'));
  };

  private leaveHeader(): void {
    this.raw.off('data', this.onData);
    this.raw.off('end', this.onEnd);
    this.raw.off('close', this.onEnd);
  }

  private secure(): void {
    const { tls } = this.rules;
    if (tls === undefined) {
      this.admit(undefined);
      return;
    }
    tls.secure(this.raw, this.remote, {
      secured: (socket) => {
        this.admit(socket);
      },
      failed: (error) => {
        this.refuse(error);
      },
    });
  }

  private admit(secured: Secured | undefined): void {
    if (this.ended) return;
    this.ended = true;
    this.timer?.unsubscribe();
    this.events.admitted(this.raw, this.remote, secured);
  }

  private refuse(error: SocketError): void {
    if (this.ended) return;
    this.ended = true;
    this.timer?.unsubscribe();
    this.leaveHeader();
    this.events.refused(error);
  }

  private headerError(reason: string): SocketError {
    return new SocketError('ERR_PROXY_HEADER', `PROXY header: ${reason}`, { address: this.remote });
  }
}

function ignore(): void {
  // The end of a socket that is not admitted yet is told by the handshake.
}
