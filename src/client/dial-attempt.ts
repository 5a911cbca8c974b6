import type { Unsubscribable } from 'rxjs';
import { formatAddress } from '../address/format-address.js';
import type { Address } from '../address/address.js';
import { SocketError } from '../errors/socket-error.js';
import { Timer } from '../scheduling/timer.js';
import type { Dial, DialEvents, Transport } from '../transport/transport.js';

/**
 * One attempt to connect. The attempt fails after `connectTimeout`, unless `established` is called before. After a
 * failure, `events` gets no further call.
 */
export class DialAttempt implements Unsubscribable {
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
      onConnect: (socket) => {
        if (this.isOver) socket.reset();
        else events.onConnect(socket);
      },
      onError: (error) => {
        if (this.end()) events.onError(error);
      },
    });
    const { connectTimeout } = settings;
    if (connectTimeout === 0) return;
    this.timer = new Timer(connectTimeout, () => {
      this.unsubscribe();
      const message = `no connection to ${formatAddress(address)} within ${connectTimeout} ms`;
      events.onError(new SocketError('ERR_TIMEOUT_CONNECT', message, { address }));
    });
  }

  /**
   * Stops the timeout. Call `established` when the socket is connected and the option `prepare`, if set, has completed
   * (K18).
   */
  established(): void {
    this.end();
  }

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
