import { SocketError } from 'rxjs-sockets';
import { expect } from 'vitest';
import type { SessionAction, SessionEvent } from '../../../src/client/session-events.js';
import { isOvertaken, reduce } from '../../../src/client/session-reducer.js';
import { expectFollows } from './state-order.js';
import { TransitionTable } from './transition-table.js';
import {
  connectionOf,
  initialState,
  readsOn,
  type SessionState,
  type Shown,
} from '../../../src/client/session-phases.js';

class FakeConnection {
  bytes = 0;
  isRead = false;
  readonly readers = new Set<FakeReader>();
  isRetired = false;
  isGone = false;
  /** Whether the connection's readers have unsubscribed because there is nothing more to read. */
  isDropped = false;
  /** Whether a reader was notified of the connection's end. */
  isConcluded = false;
  error: SocketError | undefined;
}

class FakeReader {
  ends = 0;
}

/** A watcher that checks the order of the states (K2). */
class FakeWatcher {
  last: Shown<FakeConnection> | undefined;
  isOver = false;

  next(shown: Shown<FakeConnection>): void {
    if (this.isOver) return;
    const { last } = this;
    if (last !== undefined) expectFollows(last, shown);
    this.last = shown;
  }
}

type State = SessionState<FakeConnection, FakeReader, FakeWatcher>;
type Event = SessionEvent<FakeConnection, FakeReader, FakeWatcher>;
type Action = SessionAction<FakeConnection, FakeReader, FakeWatcher>;

export const operations = [
  'watch',
  'unwatch',
  'read',
  'unread',
  'opened',
  'ready',
  'attempt fails',
  'bytes arrive',
  'reader comes to the end',
  'bad frame',
  'connection finishes',
  'connection closes',
  'policy waits',
  'policy is due',
  'policy ends',
  'policy fails',
  'client completes',
  'client fails',
  'client is destroyed',
  'stale event',
] as const;

/** An operation. `index` chooses one of several subscribers or connections. */
export interface Step {
  readonly does: (typeof operations)[number];
  readonly index: number;
  /** The operation that the next notified subscriber performs. */
  readonly within?: (typeof operations)[number] | undefined;
}

const address = { transport: 'tcp', host: '::1', port: 1 } as const;
export const transitions = new TransitionTable();
const failure = new SocketError('ECONNRESET', 'reset');

/**
 * Drives the reducer without I/O. The driver performs the reducer's actions on fake connections, readers and watchers.
 * It checks that each action is allowed, and that everything that has begun also ends.
 */
export class SessionDriver {
  state: State;
  within: Step['within'];
  readonly limits: { attempts: number; stableAfter: number } | undefined;
  readonly watchers: FakeWatcher[] = [];
  readonly readers: FakeReader[] = [];
  readonly connections: FakeConnection[] = [];
  work: 'none' | 'attempt' | 'wait' | 'waiting' = 'none';
  isCompleted = false;
  hasQueued = false;
  aborted: SocketError | undefined;
  private watchesSignal = false;
  private readonly unpublished: (readonly [FakeWatcher, Shown<FakeConnection>])[] = [];

  constructor(limits: SessionDriver['limits']) {
    this.limits = limits;
    this.state = frozen(initialState(address, limits));
  }

  readonly leftover = (connection: FakeConnection) => ({
    bytes: connection.bytes,
    isRead: connection.isRead,
    hasReaders: connection.readers.size > 0,
  });

  isAttached(connection: FakeConnection, reader: FakeReader): boolean {
    return connection.readers.has(reader);
  }

  take(does: Step['does'], index: number): void {
    const { dials: dial } = this.state;
    const connection = this.connections[this.connections.length - 1 - index];
    const isDialling = this.state.phase === 'connecting' || this.state.phase === 'preparing';
    switch (does) {
      case 'watch': {
        const watcher = new FakeWatcher();
        this.watchers.push(watcher);
        this.dispatch({ type: 'watch', watcher });
        break;
      }
      case 'unwatch': {
        const watcher = this.state.watchers[index];
        if (watcher === undefined) break;
        watcher.isOver = true;
        this.dispatch({ type: 'unwatch', watcher });
        break;
      }
      case 'read': {
        const reader = new FakeReader();
        this.readers.push(reader);
        this.dispatch({ type: 'observed', reader });
        break;
      }
      case 'unread': {
        const reader = this.state.readers[index];
        if (reader !== undefined) this.dispatch({ type: 'unobserved', reader });
        break;
      }
      case 'opened':
        if (this.work === 'attempt' && this.state.phase === 'connecting') this.dispatch({ type: 'opened', dial });
        break;
      case 'ready':
        if (this.work === 'attempt' && isDialling) this.connect(dial);
        break;
      case 'attempt fails':
        if (this.work !== 'attempt' || !isDialling) break;
        this.work = 'none';
        this.dispatch({ type: 'attemptFailed', dial, error: failure, isFinal: false });
        break;
      case 'bytes arrive':
        if (connection?.isGone === false) connection.bytes += 40_000 * (index + 1);
        break;
      case 'reader comes to the end': {
        const [source] = this.state.toRead;
        const reader = source === undefined ? undefined : [...source.connection.readers].at(-1);
        if (source === undefined || reader === undefined) break;
        source.connection.bytes = 0;
        this.dispatch({ type: 'readerDrained', reader, end: source.connection.error ?? 'fin' });
        break;
      }
      case 'bad frame':
        if (this.state.toRead[0]?.connection.readers.size !== 0) this.dispatch({ type: 'badFrame', error: failure });
        break;
      case 'connection finishes':
        if (connection?.isGone === false) this.dispatch({ type: 'finishing', connection });
        break;
      case 'connection closes':
        if (connection?.isGone !== false) break;
        if (index % 2 === 1) connection.error ??= failure;
        this.dispatch({ type: 'finishing', connection, error: connection.error });
        this.close(connection, index * 1_000);
        break;
      case 'policy waits':
        if (this.work !== 'wait') break;
        this.work = 'waiting';
        this.dispatch({ type: 'waits', dial, delay: 1 });
        break;
      case 'policy is due':
        if (this.work !== 'waiting') break;
        this.work = 'none';
        this.dispatch({ type: 'due', dial });
        break;
      case 'policy ends':
        if (this.work !== 'wait' && this.work !== 'waiting') break;
        this.dispatch({ type: 'policyEnded', dial });
        break;
      case 'policy fails':
        if (this.work !== 'wait' && this.work !== 'waiting') break;
        this.dispatch({ type: 'policyFailed', dial, error: failure });
        break;
      case 'client completes':
        this.isCompleted = true;
        this.hasQueued = index % 2 === 1;
        break;
      case 'client fails':
        this.dispatch({ type: 'failed', error: failure });
        break;
      case 'client is destroyed':
        // Until its connection has closed, a destroyed client notifies new readers of the end.
        for (const each of this.connections) each.isConcluded &&= each.isGone;
        this.dispatch({ type: 'destroyed', error: failure, reason: 'enough' });
        break;
      case 'stale event':
        this.beLate(dial - 1 - index);
    }
  }

  /** Ends everything in progress, and checks that nothing is left. */
  end(): void {
    this.within = undefined;
    for (const watcher of this.state.watchers) {
      watcher.isOver = true;
      this.dispatch({ type: 'unwatch', watcher });
    }
    while (this.state.readers.length > 0) this.take('unread', 0);
    expect(this.state.phase).toBe('idle');
    for (const connection of this.connections) if (!connection.isGone) this.close(connection, 0);
    expect(this.state).toMatchObject({ watchers: [], readers: [], sending: { to: 'next run' } });
    this.check();
    for (const reader of this.readers) expect(reader.ends).toBeLessThan(2);
  }

  private connect(dial: number): void {
    const connection = new FakeConnection();
    this.connections.push(connection);
    this.dispatch({ type: 'ready', dial, connection });
  }

  private close(connection: FakeConnection, uptime: number): void {
    connection.isGone = true;
    this.dispatch({ type: 'closed', connection, error: connection.error, uptime });
  }

  /** Reports events of an attempt or a wait that was given up. These events must have no effect. */
  private beLate(dial: number): void {
    const before = this.state;
    const events: Event[] = [
      { type: 'opened', dial },
      { type: 'ready', dial, connection: new FakeConnection() },
      { type: 'attemptFailed', dial, error: failure, isFinal: false },
      { type: 'announced', dial },
      { type: 'waits', dial, delay: 1 },
      { type: 'due', dial },
      { type: 'policyEnded', dial },
      { type: 'policyFailed', dial, error: failure },
    ];
    for (const event of events) expect(reduce(before, event, this)).toEqual({ state: before, actions: [] });
  }

  private dispatch(event: Event): void {
    const before = this.state;
    const step = reduce(this.state, event, this);
    // The reducer gives the same output for the same input, and changes no input.
    expect(reduce(this.state, event, this)).toEqual(step);
    const after = (this.state = frozen(step.state));
    transitions.check(before, event, step);
    for (const action of step.actions) {
      const isTied = action.do === 'dial' || action.do === 'wait' || action.do === 'publish';
      const isOver = isTied && (this.state.phase !== after.phase || this.state.dials !== after.dials);
      expect(isOvertaken(this.state, action)).toBe(isOver);
      if (!isOver) this.perform(action);
    }
  }

  private perform(action: Action): void {
    switch (action.do) {
      case 'dial':
        // No attempt begins while another attempt or a wait is in progress.
        expect(this.work).toBe('none');
        this.work = 'attempt';
        break;
      case 'wait':
        expect(this.work).toBe('none');
        expect(this.limits).toBeDefined();
        this.work = 'wait';
        break;
      case 'endAttempt':
        expect(this.work).toBe('attempt');
        this.work = 'none';
        break;
      case 'watchSignal':
        expect(this.watchesSignal).toBe(false);
        this.watchesSignal = true;
        break;
      case 'ignoreSignal':
        expect(this.watchesSignal).toBe(true);
        this.watchesSignal = false;
        break;
      case 'publish':
        this.publish(action.watchers, action.shown);
        break;
      case 'endWatchers':
        if (action.last !== undefined) this.publish(action.watchers, action.last);
        for (const watcher of action.watchers) {
          if (watcher.isOver) continue;
          expect(this.state.watchers).not.toContain(watcher);
          watcher.isOver = true;
          this.callSubscriber();
        }
        break;
      case 'endReaders':
        for (const reader of action.readers) this.conclude(reader);
        break;
      case 'replaceOutput':
      case 'abandonAttempt':
        this.isCompleted = this.hasQueued = false;
        if (action.do === 'abandonAttempt') this.work = 'none';
        if (action.failure !== undefined) this.callSubscriber();
        break;
      case 'failOutput':
        this.isCompleted = true;
        this.hasQueued = false;
        break;
      case 'adopt':
        expect(connectionOf(this.state)).toBe(action.connection);
        break;
      case 'retire':
        expect(this.limits).toBeDefined();
        expect(action.connection.isRetired).toBe(false);
        action.connection.isRetired = true;
        break;
      case 'close':
        this.dispatch({ type: 'finishing', connection: action.connection });
        break;
      case 'fail':
      case 'forwardBadFrame':
        this.abort(action.connection, action.error);
        break;
      case 'destroy':
        this.abort(action.connection, failure);
        break;
      case 'attach':
        this.attach(action.connection, action.readers);
        break;
      case 'detach':
        action.connection.readers.delete(action.reader);
        break;
      case 'readNext':
        for (const reader of action.readers) action.from.readers.delete(reader);
        if (action.to !== undefined) this.attach(action.to, action.readers);
        break;
      case 'dropRest':
        action.connection.bytes = 0;
        action.connection.isDropped = true;
        action.connection.readers.delete(action.reader);
        break;
      case 'forwardDrained':
        action.connection.isRead = true;
        action.connection.readers.delete(action.reader);
        this.conclude(action.reader, action.connection);
        break;
      case 'continue':
        this.dispatch(action.event);
        break;
      case 'expectConnection':
      case 'parkOutput':
      case 'open':
      case 'block':
      case 'reportStreamEnd':
    }
  }

  /** Publishes a state. If a watcher causes the next state, all watchers still get the states in order. */
  private publish(watchers: readonly FakeWatcher[], shown: Shown<FakeConnection>): void {
    for (const watcher of watchers) this.unpublished.push([watcher, shown]);
    for (let next = this.unpublished.shift(); next !== undefined; next = this.unpublished.shift()) {
      next[0].next(next[1]);
      this.callSubscriber();
    }
  }

  private attach(connection: FakeConnection, readers: readonly FakeReader[]): void {
    for (const reader of readers) {
      // A reader that joins after the end of a connection waits for the next connection (K8).
      expect(connection.isConcluded).toBe(false);
      expect(connection.readers).not.toContain(reader);
      connection.readers.add(reader);
    }
  }

  /** Fails a connection. Its readers are notified at once, unless they continue with the next connection. */
  private abort(connection: FakeConnection, error: SocketError): void {
    if (connection.isGone) return;
    connection.error ??= error;
    this.dispatch({ type: 'finishing', connection, error: connection.error });
    const readers = [...connection.readers];
    connection.readers.clear();
    connection.bytes = 0;
    connection.isRead = true;
    for (const reader of readers) this.conclude(reader, connection);
  }

  private conclude(reader: FakeReader, connection?: FakeConnection): void {
    if (readsOn(this.state, this)) return;
    if (connection !== undefined) connection.isConcluded = true;
    this.dispatch({ type: 'readerEnding', reader });
    expect(this.state.readers).not.toContain(reader);
    expect(++reader.ends).toBe(1);
    this.callSubscriber();
  }

  private callSubscriber(): void {
    const { within } = this;
    this.within = undefined;
    if (within !== undefined) this.take(within, 0);
  }

  /** Checks the invariants between two steps. */
  check(): void {
    const { state } = this;
    const isIdle = state.phase === 'idle';
    expect(this.watchesSignal).toBe(!isIdle);
    if (!isIdle) expect(state.watchers.length + state.readers.length).toBeGreaterThan(0);
    const wanted = {
      idle: ['none'],
      connecting: ['attempt'],
      preparing: ['attempt'],
      connected: ['none'],
      disconnected: [],
      waiting: ['wait', 'waiting'],
    }[state.phase];
    expect(wanted).toContain(this.work);
    if (!isIdle) for (const watcher of state.watchers) expect(watcher.last).toBe(state.shown);
    // A watcher that is not in the reducer's state has unsubscribed, or was notified of the end.
    for (const watcher of this.watchers) expect(watcher.isOver).toBe(!state.watchers.includes(watcher));
    expect(new Set(state.toRead.map(({ connection }) => connection)).size).toBe(state.toRead.length);
    // Each reader reads the first connection, or waits for the next connection or for an attempt.
    const first = state.toRead[0]?.connection;
    for (const reader of state.readers) {
      if (first === undefined) expect(isIdle).toBe(false);
      else if (first.isRead || first.isDropped) {
        // After the end of this connection, a reader can wait until the connection's last reader has unsubscribed.
        if (isIdle) expect(first.readers.size).toBeGreaterThan(0);
      } else expect(first.readers).toContain(reader);
    }
    // Only the first connection has readers.
    for (const connection of this.connections) {
      for (const reader of connection.readers) {
        expect(connection).toBe(state.toRead[0]?.connection);
        expect(state.readers).toContain(reader);
      }
    }
  }
}

function frozen(state: State): State {
  Object.freeze(state.watchers);
  Object.freeze(state.readers);
  for (const source of state.toRead) Object.freeze(source);
  Object.freeze(state.toRead);
  if ('sending' in state) Object.freeze(state.sending);
  return Object.freeze(state);
}
