import { asapScheduler, type Observable, ReplaySubject, type Subscription, type Unsubscribable } from 'rxjs';
import { parseAddress } from '../address-parsing/parse-address.js';
import { formatAddress } from '../address/format-address.js';
import type { Address, AddressInput } from '../address/address.js';
import { connect } from '../client/connect.js';
import type { Client } from '../client/client.js';
import type { SocketError } from '../errors/socket-error.js';
import { listen } from '../server/listen.js';
import type { Server } from '../server/server.js';
import type { Transport } from '../transport/transport.js';
import { type Check, checkExactOptions, number, withDefault } from '../validation/checks.js';
import { CutCounter, FaultDice } from './fault-dice.js';
import { faultChecks, type FaultDirection, type Faults, type InjectedFault } from './faults.js';
import { FaultyConnection, type FaultyConnectionOwner } from './faulty-connection.js';
import type { NextTurn } from './faulty-pipe.js';

/** The maximum number of injected faults that `strikes` keeps. */
const maxStrikes = 10_000;
/** The two endpoints have their own timeouts. The proxy limits only the time to close a connection that is cut. */
const withoutTimeouts = { halfOpenTimeout: 0, claimTimeout: 0, closeTimeout: 1_000 } as const;

/**
 * Configures {@link faulty}.
 *
 * @example
 * ```ts
 * const options: FaultyOptions = { seed: 7, up: { slices: 1 }, down: { latency: [0, 20], cutEvery: 1_000 } };
 * ```
 * @see {@link Faults} for each fault
 */
export interface FaultyOptions {
  /**
   * The integer from which all random numbers derive. With the same seed, faults occur at the same bytes.
   *
   * @defaultValue 1
   */
  readonly seed?: number | undefined;
  /**
   * The faults to inject into the bytes sent to the target.
   *
   * @defaultValue `undefined`: none
   */
  readonly up?: Faults | undefined;
  /**
   * The faults to inject into the bytes sent by the target.
   *
   * @defaultValue `undefined`: none
   */
  readonly down?: Faults | undefined;
  /**
   * The address to listen on.
   *
   * @defaultValue `undefined`: for TCP, a free port of localhost; otherwise, the target's name followed by `.faulty`
   */
  readonly listen?: AddressInput | undefined;
  /**
   * The transport on both sides of the proxy.
   *
   * @defaultValue `undefined`: Node's sockets
   */
  readonly transport?: Transport | undefined;
}

/**
 * Represents the running proxy that {@link faulty} returns.
 *
 * @example
 * ```ts
 * const address = await firstValueFrom(proxy.listening);
 * ```
 * @see {@link faulty}
 */
export interface Faulty {
  /**
   * Emits the address to dial, also to a subscriber that subscribes when the address is already bound. Fails if the
   * address cannot be bound. Completes at `shutdown`.
   */
  readonly listening: Observable<Address>;
  /** The last 10,000 injected faults, oldest first. */
  readonly strikes: readonly InjectedFault[];
  /**
   * Stops listening, destroys every connection, and drops the bytes in transit. `listening` completes.
   *
   * @returns a promise that resolves when all connections have closed. The promise never rejects
   * @example
   * ```ts
   * await proxy.shutdown();
   * ```
   * @see rule S7
   */
  shutdown(): Promise<void>;
}

/**
 * Starts a proxy that injects faults into the connections between two endpoints.
 *
 * The proxy dials the target for each connection that it accepts. The proxy forwards the bytes in both directions, and
 * injects the {@link Faults} of each direction. Without faults, the proxy is equivalent to:
 *
 * ```ts
 * listen(address).subscribe((near) => {
 *   const far = connect(target, { halfOpen: true });
 *   far.data.subscribe(near.bytes); // at the pace of the slower one, with its FIN
 *   near.bytes.subscribe(far.data);
 * });
 * ```
 *
 * With the same seed, a fault occurs at the same byte of the same connection in each run, even if the chunks differ.
 * The exception is `cutEvery`, which counts the bytes of all connections together. Where `cutEvery` cuts depends on the
 * order in which the bytes of different connections pass.
 *
 * The proxy immediately starts to listen. The proxy forwards a FIN as a FIN, and a failure as a reset, but first
 * forwards all bytes that arrived before the FIN or the failure. If the proxy cannot reach the target, it resets the
 * accepted connection.
 *
 * A unix socket cannot be reset. Instead of a reset, the peer on a unix socket receives the end of the stream, or
 * `ECONNRESET` if the proxy left input unread. Over the memory transport, faults occur at the exact byte. Over real
 * sockets, slices may be joined, and a reset drops the bytes that have not been delivered. All timers run on
 * `asyncScheduler`.
 *
 * While 65,536 bytes or 1,024 pieces are in transit in one direction, no further piece follows, and the sender is held.
 * So with a latency of L ms, at most about 65,536 bytes pass in L ms. The proxy also buffers one chunk, and the proxy's
 * channels have buffers of their own.
 *
 * Use `shutdown` to end the proxy. A black hole without `blackHoleFor` lasts until the shutdown.
 *
 * @param target - the address that the proxy dials
 * @param options - `up` and `down` (the faults of each direction; none), `seed` (an integer; 1), `listen`, `transport`
 * @returns the running proxy
 * @throws `ERR_ADDRESS_INVALID` for a bad address, and `ERR_OPTION_INVALID` for a bad or unknown option
 * @example
 * ```ts
 * const proxy = faulty('tcp://localhost:7000', { seed: 7, up: { slices: 1 }, down: { resetAfter: [1, 10_000] } });
 * const client = connect(await firstValueFrom(proxy.listening), { reconnect: backoff() });
 * ```
 * @see rules C1, C8 and K4, which also hold through the proxy
 */
export function faulty(target: AddressInput, options: FaultyOptions = {}): Faulty {
  return new FaultyProxy(target, options);
}

const faults: Check<Faults> = (option, value) => checkExactOptions(option, faultChecks, value, option);

const checks = {
  seed: withDefault(
    number('an integer', (value) => Number.isSafeInteger(value)),
    1,
  ),
  up: faults,
  down: faults,
  // The functions `listen` and `connect` check the options `listen` and `transport`.
  listen: (_option: string, value: unknown) => value as AddressInput | undefined,
  transport: (_option: string, value: unknown) => value as Transport | undefined,
};

class FaultyProxy implements Faulty, FaultyConnectionOwner {
  readonly listening: Observable<Address>;
  readonly strikes: InjectedFault[] = [];
  readonly seed: number;
  readonly faults: Readonly<Record<FaultDirection, Faults>>;
  readonly cuts: Readonly<Record<FaultDirection, CutCounter>>;
  readonly nextTurn: NextTurn;

  private readonly target: Address;
  private readonly address = new ReplaySubject<Address>(1);
  private readonly transportOption: { readonly transport: Transport | undefined };
  private readonly server: Server;
  private readonly serving: Subscription;
  private readonly connections = new Set<FaultyConnection>();
  private accepted = 0;

  constructor(target: AddressInput, options: FaultyOptions) {
    const { seed, up, down, listen: address, transport } = checkExactOptions('faulty', checks, options);
    this.listening = this.address.asObservable();
    this.target = parseAddress(target);
    this.seed = seed;
    this.faults = { up, down };
    this.cuts = {
      up: new CutCounter(up.cutEvery, new FaultDice(seed, 0, 0)),
      down: new CutCounter(down.cutEvery, new FaultDice(seed, 0, 1)),
    };
    this.transportOption = { transport };
    this.nextTurn = transport === undefined ? afterPolling : (work) => asapScheduler.schedule(work);
    // Making a client throws immediately if the target is invalid (A5).
    void this.newClient();
    this.server = listen(address ?? defaultAddress(this.target), {
      ...this.transportOption,
      ...withoutTimeouts,
    });
    const fail = (error: SocketError): void => {
      this.address.error(error);
    };
    const listening = this.server.listening.subscribe({
      next: (address) => {
        this.address.next(address);
      },
      error: fail,
    });
    this.serving = this.server.subscribe({
      next: (near) => {
        const connection = new FaultyConnection(this, ++this.accepted, near, this.newClient());
        this.connections.add(connection);
        connection.start();
      },
      error: fail,
    });
    this.serving.add(listening);
  }

  injected(fault: InjectedFault): void {
    this.strikes.push(fault);
    if (this.strikes.length > maxStrikes) this.strikes.shift();
  }

  ended(connection: FaultyConnection): void {
    this.connections.delete(connection);
  }

  async shutdown(): Promise<void> {
    this.serving.unsubscribe();
    this.address.complete();
    await Promise.all([...this.connections].map((connection) => connection.shutdown()));
  }

  private newClient(): Client {
    return connect(this.target, { ...this.transportOption, ...withoutTimeouts, halfOpen: true });
  }
}

function defaultAddress(target: Address): AddressInput {
  switch (target.transport) {
    case 'tcp':
      return { port: 0 };
    case 'unix':
      return { path: `${target.path}.faulty` };
    default:
      return `${formatAddress(target)}.faulty`;
  }
}

/** Runs `work` after earlier writes have reached the kernel. */
function afterPolling(work: () => void): Unsubscribable {
  const immediate = setImmediate(work);
  return {
    unsubscribe(): void {
      clearImmediate(immediate);
    },
  };
}
