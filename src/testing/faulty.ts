import { asapScheduler, type Observable, ReplaySubject, type Subscription, type Unsubscribable } from 'rxjs';
import { parseAddress } from '../address-parsing/parse-address.js';
import { formatAddress } from '../address/format-address.js';
import type { Address, AddressInput } from '../address/address.js';
import { type Client, connect } from '../client/connect.js';
import type { SocketError } from '../errors/socket-error.js';
import { listen, type Server } from '../server/listen.js';
import type { Transport } from '../transport/transport.js';
import { FaultyPair, type FaultyPairOwner } from './faulty-pair.js';
import { type Check, checkOptions, number, withDefault } from '../validation/checks.js';
import { CutCounter, faultChecks, FaultDice, type FaultDirection, type FaultKind, type Faults } from './faults.js';
import type { NextTurn } from './faulty-link.js';

/** How many strikes are remembered; of more the latest. */
const mostStrikes = 10_000;
/** What times out is up to the two endpoints, save a connection that is cut. */
const patient = { halfOpenTimeout: 0, claimTimeout: 0, closeTimeout: 1_000 } as const;

/**
 * Says what befalls the connections through {@link faulty}.
 *
 * @example
 * ```ts
 * const options: FaultyOptions = { seed: 7, up: { slices: 1 }, down: { latency: [0, 20], cutEvery: 1_000 } };
 * ```
 * @see {@link Faults} for each fault
 */
export interface FaultyOptions {
  /** What every random number derives from: a run with the same seed is struck at the same bytes. Whole; default 1. */
  readonly seed?: number | undefined;
  /** What befalls the bytes on their way to the target. Default nothing. */
  readonly up?: Faults | undefined;
  /** What befalls the bytes on their way from the target. Default nothing. */
  readonly down?: Faults | undefined;
  /** Where to be dialled. Default: for tcp a free port of loopback, otherwise the target's name and `.faulty`. */
  readonly listen?: AddressInput | undefined;
  /** What carries the bytes on both sides. Default Node's sockets. */
  readonly transport?: Transport | undefined;
}

/**
 * Tells that a fault has struck.
 *
 * @example
 * ```ts
 * const strike: InjectedFault = { fault: 'reset', connection: 2, direction: 'down', at: 1_432 };
 * ```
 * @see {@link Faulty.strikes}
 */
export interface InjectedFault {
  /** Which one; those that befall every byte are told once for a connection and direction. */
  readonly fault: FaultKind;
  /** The number of the connection, from 1, in the order in which they were accepted. */
  readonly connection: number;
  /** Which way the bytes passed. */
  readonly direction: FaultDirection;
  /** After how many bytes of that connection and direction. */
  readonly at: number;
}

/**
 * Stands between two endpoints: what {@link faulty} gives.
 *
 * @backpressure as of {@link faulty}
 * @teardown {@link Faulty.shutdown}
 * @example
 * ```ts
 * const address = await firstValueFrom(proxy.listening);
 * ```
 * @see {@link faulty}
 */
export interface Faulty {
  /** The address to dial, replayed; fails where it could not be bound (S3), and completes at `shutdown`. */
  readonly listening: Observable<Address>;
  /** What has struck so far, oldest first; at most the last 10,000. */
  readonly strikes: readonly InjectedFault[];
  /**
   * Stops listening and destroys every connection at once.
   *
   * @returns a promise that resolves when all of them are gone, and never rejects
   * @emits completion of `listening`
   * @backpressure what is on its way is dropped
   * @teardown everything of the proxy ends
   * @example
   * ```ts
   * await proxy.shutdown();
   * ```
   * @see rule S7
   */
  shutdown(): Promise<void>;
}

/**
 * Puts a proxy between two endpoints that mistreats their connections, in a way that can be repeated.
 *
 * Each connection that it accepts is given one of its own to the target, and the bytes of either direction pass
 * through the {@link Faults} of that direction. All that is random derives from `seed`, the number of the connection,
 * the direction, and the offset in the stream: what struck once strikes again at the same byte, however the bytes are
 * chunked. (`cutEvery` counts over all connections, so with several at once their interleaving counts too.) Apart
 * from latency and bandwidth it is equivalent to this:
 *
 * ```ts
 * listen(address).subscribe((near) => {
 *   const far = connect(target, { halfOpen: true });
 *   far.data.subscribe(near.bytes); // at the pace of the slower one, with its FIN
 *   near.bytes.subscribe(far.data);
 * });
 * ```
 *
 * It begins to listen at once. A FIN passes as a FIN and a failure as a reset, both behind the bytes before them; a
 * target that can't be reached resets who dialled. On a unix socket, which has no reset, the peers see the end of the
 * stream, or `ECONNRESET` where they had left input unread. The memory transport is struck exactly; real sockets may
 * join slices, and drop what they had not delivered when they are reset. Its timers run on `asyncScheduler`.
 *
 * @param target - where the connections lead to
 * @param options - the faults of either direction (default none), `seed` (whole, default 1), `listen` and `transport`
 * @returns the address to dial, what has struck, and `shutdown`
 * @throws `ERR_ADDRESS_INVALID` for a bad address and `ERR_OPTION_INVALID` for a bad option, which it names (A5)
 * @backpressure in each direction at most 65,536 bytes, or 1,024 pieces, and the chunk in hand are on their way, besides
 * what a channel lets wait (F3, `highWaterMark`); then whoever sends is held. A latency of L ms thus lets no more than
 * 65,536 bytes pass in L ms
 * @teardown `shutdown`; a black hole for good lasts until then
 * @example
 * ```ts
 * const proxy = faulty('tcp://localhost:7000', { seed: 7, up: { slices: 1 }, down: { resetAfter: [1, 10_000] } });
 * const client = connect(await firstValueFrom(proxy.listening), { reconnect: backoff() });
 * ```
 * @see rules C1, C8 and K4, which hold through it
 */
export function faulty(target: AddressInput, options: FaultyOptions = {}): Faulty {
  return new FaultyProxy(target, options);
}

const faults: Check<Faults> = (option, value) => checkOptions(faultChecks, value, option);

const checks = {
  seed: withDefault(
    number('an integer', (value) => Number.isSafeInteger(value)),
    1,
  ),
  up: faults,
  down: faults,
};

class FaultyProxy implements Faulty, FaultyPairOwner {
  readonly listening: Observable<Address>;
  readonly strikes: InjectedFault[] = [];
  readonly seed: number;
  readonly faults: Readonly<Record<FaultDirection, Faults>>;
  readonly cuts: Readonly<Record<FaultDirection, CutCounter>>;
  readonly nextTurn: NextTurn;

  private readonly target: Address;
  private readonly bound = new ReplaySubject<Address>(1);
  private readonly carried: { readonly transport: Transport | undefined };
  private readonly server: Server;
  private readonly serving: Subscription;
  private readonly pairs = new Set<FaultyPair>();
  private accepted = 0;

  constructor(target: AddressInput, options: FaultyOptions) {
    const { seed, up, down } = checkOptions(checks, options);
    const { transport } = options;
    this.listening = this.bound.asObservable();
    this.target = parseAddress(target);
    this.seed = seed;
    this.faults = { up, down };
    this.cuts = {
      up: new CutCounter(up.cutEvery, new FaultDice(seed, 0, 0)),
      down: new CutCounter(down.cutEvery, new FaultDice(seed, 0, 1)),
    };
    this.carried = { transport };
    this.nextTurn = transport === undefined ? afterPolling : (work) => asapScheduler.schedule(work);
    // A target that can't be dialled is refused at once (A5).
    void this.dial();
    this.server = listen(options.listen ?? besides(this.target), { ...this.carried, ...patient });
    const fail = (error: SocketError): void => {
      this.bound.error(error);
    };
    const naming = this.server.listening.subscribe({
      next: (address) => {
        this.bound.next(address);
      },
      error: fail,
    });
    this.serving = this.server.subscribe({
      next: (near) => {
        const pair = new FaultyPair(this, ++this.accepted, near, this.dial());
        this.pairs.add(pair);
        pair.start();
      },
      error: fail,
    });
    this.serving.add(naming);
  }

  struck(strike: InjectedFault): void {
    this.strikes.push(strike);
    if (this.strikes.length > mostStrikes) this.strikes.shift();
  }

  ended(pair: FaultyPair): void {
    this.pairs.delete(pair);
  }

  async shutdown(): Promise<void> {
    this.serving.unsubscribe();
    this.bound.complete();
    await Promise.all([...this.pairs].map((pair) => pair.shutdown()));
  }

  /** A client of the target, which dials once it is subscribed to. */
  private dial(): Client {
    return connect(this.target, { ...this.carried, ...patient, halfOpen: true });
  }
}

function besides(target: Address): AddressInput {
  switch (target.transport) {
    case 'tcp':
      return { port: 0 };
    case 'unix':
      return { path: `${target.path}.faulty` };
    default:
      return `${formatAddress(target)}.faulty`;
  }
}

function afterPolling(work: () => void): Unsubscribable {
  const immediate = setImmediate(work);
  return {
    unsubscribe(): void {
      clearImmediate(immediate);
    },
  };
}
