import type { Unsubscribable } from 'rxjs';
import { type Address, formatAddress } from './address.js';
import { SocketError } from './errors.js';
import { Timer } from './io/timer.js';
import type { Dial, DialEvents, Transport } from './transport/transport.js';

/**
 * One attempt to connect, for so long and no longer. It ends when it fails, which is the last event, or when
 * `established` is called: until then a connection that is being prepared is part of it (K18).
 */
export class Attempt implements Unsubscribable {
  private readonly dial: Dial;
  private readonly timer: Timer | undefined;
  private isOver = false;

  constructor(
    address: Address,
    settings: Parameters<Transport['connect']>[1] & { readonly connectTimeout: number },
    transport: Transport,
    events: DialEvents,
  ) {
    this.dial = transport.connect(address, settings, {
      connected: (socket) => {
        if (this.isOver) socket.reset();
        else events.connected(socket);
      },
      failed: (error) => {
        if (this.end()) events.failed(error);
      },
    });
    const { connectTimeout } = settings;
    if (connectTimeout === 0) return;
    this.timer = new Timer(connectTimeout, () => {
      this.unsubscribe();
      const message = `no connection to ${formatAddress(address)} within ${connectTimeout} ms`;
      events.failed(new SocketError('ERR_TIMEOUT_CONNECT', message, { address }));
    });
  }

  /** It has succeeded. */
  established(): void {
    this.end();
  }

  /** Aborts it. */
  unsubscribe(): void {
    if (this.end()) this.dial.abort();
  }

  private end(): boolean {
    if (this.isOver) return false;
    this.isOver = true;
    this.timer?.unsubscribe();
    return true;
  }
}
