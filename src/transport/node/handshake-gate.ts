import type net from 'node:net';
import type { Address } from '../../address/address.js';
import { SocketError } from '../../errors/socket-error.js';
import { ChunkQueue } from '../../bytes/chunk-queue.js';
import { Timer } from '../../scheduling/timer.js';
import { parseProxyHeader } from '../../proxy-protocol/parse-proxy-header.js';
import type { SecureSocket } from './tls/handshake.js';
import type { TlsAcceptor } from './tls/server-handshakes.js';

export interface HandshakeRules {
  readonly tls: TlsAcceptor | undefined;
  /** Whether a peer's PROXY header is trusted; undefined if no header is expected. */
  readonly trusted: ((peer: Address) => boolean) | undefined;
  /** The limit for the PROXY header and the TLS handshake together, in ms; 0 means no limit. */
  readonly handshakeTimeout: number;
  /** The maximum number of handshakes in progress at the same time. */
  readonly limit: number;
}

/** For each accepted socket, exactly one of these methods is called, or no method if the gate is closed first. */
export interface HandshakeGateEvents {
  /** With TLS, the server reads and writes `secure` instead of `raw`. */
  onAdmitted(raw: net.Socket, remote: Address, secure: SecureSocket | undefined): void;
  /** Called when the socket has been refused and destroyed. */
  onRefused(error: SocketError): void;
}

/**
 * Reads the PROXY header and performs the TLS handshake of each accepted socket, if the server's options require a
 * header or TLS.
 */
export class HandshakeGate {
  private readonly rules: HandshakeRules;
  private readonly events: HandshakeGateEvents;
  private readonly underWay = new Set<IncomingSocket>();

  constructor(rules: HandshakeRules, events: HandshakeGateEvents) {
    this.rules = rules;
    this.events = events;
  }

  admit(raw: net.Socket, remote: Address): void {
    const { tls, trusted, limit } = this.rules;
    if (tls === undefined && trusted === undefined) {
      this.events.onAdmitted(raw, remote, undefined);
      return;
    }
    raw.on('error', ignore);
    if (this.underWay.size >= limit) {
      raw.destroy();
      const message = `a client was dropped: ${limit} handshakes are under way`;
      this.events.onRefused(new SocketError('ERR_LIMIT_CONNECTIONS', message, { address: remote }));
      return;
    }
    const incoming = new IncomingSocket(raw, remote, this.rules, {
      onAdmitted: (socket, peer, secure) => {
        this.underWay.delete(incoming);
        socket.off('error', ignore);
        this.events.onAdmitted(socket, peer, secure);
      },
      onRefused: (error) => {
        this.underWay.delete(incoming);
        raw.destroy();
        this.events.onRefused(error);
      },
    });
    this.underWay.add(incoming);
    incoming.begin();
  }

  close(): void {
    for (const incoming of this.underWay) incoming.abort();
    this.underWay.clear();
  }
}

/**
 * An accepted socket whose PROXY header and TLS handshake are not yet complete. An IncomingSocket reports exactly one
 * event, or no event after `abort`.
 */
class IncomingSocket {
  private readonly raw: net.Socket;
  private readonly rules: HandshakeRules;
  private readonly events: HandshakeGateEvents;
  private readonly queue = new ChunkQueue();
  private remote: Address;
  private timer: Timer | undefined;
  private isOver = false;

  constructor(raw: net.Socket, remote: Address, rules: HandshakeRules, events: HandshakeGateEvents) {
    this.raw = raw;
    this.remote = remote;
    this.rules = rules;
    this.events = events;
  }

  begin(): void {
    const { handshakeTimeout, trusted } = this.rules;
    if (handshakeTimeout > 0) {
      this.timer = new Timer(handshakeTimeout, () => {
        const message = `the handshake did not finish within ${handshakeTimeout} ms`;
        this.refuse(new SocketError('ERR_TIMEOUT_HANDSHAKE', message, { address: this.remote }));
      });
    }
    if (trusted === undefined) this.secure();
    else if (trusted(this.remote)) this.readHeader();
    else this.refuse(this.headerError('the peer is not in proxyProtocol.trusted'));
  }

  abort(): void {
    this.isOver = true;
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
      // The parser's error has no address, so create an error that has an address.
      this.refuse(new SocketError(code, message, { address: this.remote, cause }));
      return;
    }
    if (header === undefined) return;
    this.stopReadingHeader();
    // Put back the bytes that follow the header, so that TLS, or the server, reads these bytes first.
    this.raw.pause();
    this.queue.skip(header.length);
    if (this.queue.length > 0) this.raw.unshift(this.queue.take(this.queue.length));
    this.remote = header.remote ?? this.remote;
    this.secure();
  };

  private readonly onEnd = (): void => {
    this.refuse(this.headerError('the stream ended within the header'));
  };

  private stopReadingHeader(): void {
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
      onSecure: (secure) => {
        this.admit(secure);
      },
      onError: (error) => {
        this.refuse(error);
      },
    });
  }

  private admit(secure: SecureSocket | undefined): void {
    if (this.isOver) return;
    this.isOver = true;
    this.timer?.unsubscribe();
    this.events.onAdmitted(this.raw, this.remote, secure);
  }

  private refuse(error: SocketError): void {
    if (this.isOver) return;
    this.isOver = true;
    this.timer?.unsubscribe();
    this.stopReadingHeader();
    this.events.onRefused(error);
  }

  private headerError(reason: string): SocketError {
    return new SocketError('ERR_PROXY_HEADER', `PROXY header: ${reason}`, { address: this.remote });
  }
}

function ignore(): void {
  // The handshake reports the raw socket's errors.
}
