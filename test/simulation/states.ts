import type { ConnectionState } from 'rxjs-sockets';
import type { World } from './world.js';

/** The retry policy of a client, as far as its delays can be predicted. */
export interface Policy {
  readonly initial: number;
  readonly max: number;
  readonly factor: number;
  readonly jitter: number;
  readonly attempts: number;
  readonly stableAfter: number;
}

export function drawPolicy({ dice, gentle }: World): Policy {
  const initial = dice.magnitude(20, 300);
  return {
    initial,
    max: initial * dice.pick([1, 4, 10]),
    factor: dice.pick([1, 2, 3]),
    jitter: dice.pick([0, 0.5, 1]),
    attempts: gentle ? Infinity : dice.pick([Infinity, Infinity, 0, 1, 5]),
    stableAfter: dice.pick([5_000, 100, 0]),
  };
}

/** Watches the states of a client, and checks their order (K2, K3, K5). */
export class States {
  /** How the states ended: `'complete'`, or the code of the error. */
  ended: string | undefined;
  last: ConnectionState<any, any> | undefined;

  private readonly world: World;
  private readonly name: string;
  private readonly policy: Policy | undefined;
  private since = 0;
  private retries = 0;
  private stable = false;

  /** @param policy - undefined without reconnect */
  constructor(world: World, name: string, policy: Policy | undefined) {
    this.world = world;
    this.name = name;
    this.policy = policy;
  }

  next(state: ConnectionState<any, any>): void {
    const { last } = this;
    const now = Date.now();
    this.world.findings.note(() => `${this.name}: ${state.status} ${state.attempt}`);
    if (this.ended !== undefined) this.wrong('K2', `${state.status} came after the end`);
    if (!this.follows(last, state)) {
      const before = last === undefined ? 'the beginning' : `${last.status} ${last.attempt}`;
      this.wrong('K2', `${state.status} ${state.attempt} came after ${before}`);
    }
    if (state.status === 'waiting' && last?.status === 'disconnected') this.judge(state, last);
    if (last?.status === 'waiting') {
      const waited = now - this.since;
      if (waited !== Math.max(1, Math.floor(last.delay))) this.wrong('K5', `waited ${waited} ms, not ${last.delay}`);
    }
    if (last?.status === 'connected')
      this.stable = this.policy !== undefined && now - this.since >= this.policy.stableAfter;
    else if (last?.status === 'connecting') this.stable = false;
    this.since = now;
    this.last = state;
  }

  end(how: string): void {
    const { last } = this;
    if (this.ended !== undefined) this.wrong('K2', `ended twice: ${this.ended}, then ${how}`);
    if (last?.status === 'disconnected' && how !== (last.error?.code ?? 'complete')) {
      this.wrong('K3', `ended with ${how}, although it was disconnected by ${last.error?.code ?? 'a clean end'}`);
    } else if (last?.status !== 'disconnected' && last?.status !== 'waiting') {
      this.wrong('K2', `ended with ${how} while ${last?.status ?? 'nothing had come'}`);
    }
    this.ended = how;
  }

  private follows(
    last: ConnectionState<any, any> | undefined,
    { status, attempt }: ConnectionState<any, any>,
  ): boolean {
    switch (status) {
      case 'connecting':
        if (last === undefined) return attempt === 1;
        return last.status === 'waiting' && attempt === (this.stable ? 1 : last.attempt + 1);
      case 'connected':
        return last?.status === 'connecting' && attempt === last.attempt;
      case 'disconnected':
        return (last?.status === 'connecting' || last?.status === 'connected') && attempt === last.attempt;
      case 'waiting':
        return last?.status === 'disconnected' && attempt === last.attempt;
    }
  }

  /** Asserts that the n-th delay in a row is between the minimum and the base of rule K5. */
  private judge(
    { delay, error }: ConnectionState<any, any> & { status: 'waiting' },
    last: ConnectionState<any, any> & { status: 'disconnected' },
  ): void {
    const { policy } = this;
    if (error !== last.error) this.wrong('K2', 'waits with another error');
    if (policy === undefined) {
      this.wrong('K3', 'dials again without a policy');
      return;
    }
    this.retries = this.stable ? 1 : this.retries + 1;
    const base = Math.min(policy.max, policy.initial * policy.factor ** (this.retries - 1));
    const least = Math.max(policy.initial, base * (1 - policy.jitter));
    if (!(delay >= least && delay <= base))
      this.wrong('K5', `delay ${this.retries} is ${delay}, not ${least} to ${base}`);
    if (this.retries > policy.attempts) this.wrong('K5', `dials again ${this.retries} times, not ${policy.attempts}`);
  }

  private wrong(rule: string, what: string): void {
    this.world.findings.wrong(rule, `${this.name} ${what}`);
  }
}
