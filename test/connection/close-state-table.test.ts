import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type CloseAction, CloseState, type Failure } from '../../src/connection/close-state.js';
import { SocketError } from '../../src/errors/socket-error.js';

const phases = ['open', 'draining', 'closing', 'aborted', 'closed'] as const;
type Phase = (typeof phases)[number];

interface Transition {
  readonly input: string;
  readonly phases: readonly Phase[];
  readonly condition: string;
  readonly actions: readonly string[];
  readonly next: Phase | undefined;
  /** If the table says `as …`: the input whose lines apply instead of this line. */
  readonly as: string | undefined;
}

interface Call {
  readonly input: string;
  readonly hasReader: boolean;
  readonly hasSuccessor: boolean;
  readonly isBusy: boolean;
  readonly limit: number | undefined;
  readonly error: SocketError | undefined;
  apply(state: CloseState): readonly CloseAction[];
}

interface Fields {
  readonly phase: Phase;
  readonly receiving: 'open' | 'finished';
  readonly sending: 'open' | 'finishing' | 'finished';
  readonly reason: Failure | undefined;
  readonly endsWithPeer: boolean;
  readonly closesWithoutReader: boolean;
}

const closeTimeout = 10_000;

const conditions: Readonly<Record<string, (fields: Fields, call: Call) => boolean>> = {
  '': () => true,
  'no reader': (_, { hasReader }) => !hasReader,
  'no work, no reader': (_, { isBusy, hasReader }) => !isBusy && !hasReader,
  'no reader, completeAndClose was called': ({ closesWithoutReader }, { hasReader }) =>
    closesWithoutReader && !hasReader,
  'both sides have finished': haveBothFinished,
  'no error, both sides have finished': (fields, { error }) => error === undefined && haveBothFinished(fields),
  'the end is due': isEndDue,
  'the end is due, no reader': (fields, call) => isEndDue(fields, call) && !call.hasReader,
  'the peer has finished': ({ receiving }) => receiving === 'finished',
  'the FIN was sent': ({ sending }) => sending === 'finished',
  'the cut-off stands': ({ reason }) => reason?.kind === 'cutOff',
  'the first failure': ({ reason }) => reason === undefined || reason.kind === 'cutOff',
  'closeTimeout after the FIN': ({ sending }, { error }) =>
    sending === 'finished' && error?.code === 'ERR_TIMEOUT_CLOSE',
};

function haveBothFinished({ sending, receiving }: Fields): boolean {
  return sending === 'finished' && receiving === 'finished';
}

function isEndDue({ endsWithPeer, receiving }: Fields, { hasReader, hasSuccessor }: Call): boolean {
  return endsWithPeer && receiving === 'finished' && (!hasReader || hasSuccessor);
}

/** Reads the table from the comment of `CloseState`. */
function readTable(): Transition[] {
  const source = readFileSync(new URL('../../src/connection/close-state.ts', import.meta.url), 'utf8');
  const block = /```text\n(.*?)```/s.exec(source)?.[1];
  const [header, ...lines] = (block ?? '').split('\n').map((line) => line.replace(/^ \* ?/, ''));
  const starts = ['input', 'phase', 'condition', 'actions'].map((title) => header!.indexOf(title));
  const rows: string[][] = [];
  for (const line of lines) {
    const cells = starts.map((start, column) => line.slice(start, starts[column + 1]).trim());
    if (cells.join('') === '') continue;
    const last = rows.at(-1);
    // A line without a phase continues the previous line.
    if (cells[1] === '')
      for (const [column, cell] of cells.entries()) last![column] = `${last![column]!} ${cell}`.trim();
    else rows.push([cells[0] === '' ? last![0]! : cells[0]!, ...cells.slice(1)]);
  }
  return rows.map(([input, phase, condition, outcome]) => {
    const [actions, next] = outcome!.split('→').map((part) => part.trim());
    const as = /^as (\w+)$/.exec(actions!)?.[1];
    return {
      input: input!,
      phases: readPhases(phase!),
      condition: condition!,
      actions: as !== undefined || actions === 'nothing' ? [] : actions!.split(', '),
      next: next === undefined ? undefined : readPhases(next)[0]!,
      as,
    };
  });
}

function readPhases(cell: string): readonly Phase[] {
  if (cell === 'any') return phases;
  if (cell === 'not over') return ['open', 'draining', 'closing'];
  const named = cell.split(', ').map((name) => phases.find((phase) => phase === name));
  expect(named, cell).not.toContain(undefined);
  return named as Phase[];
}

function allCalls(): Call[] {
  const calls: Call[] = [];
  const no = { hasReader: false, hasSuccessor: false, isBusy: false, limit: undefined, error: undefined };
  const add = (call: Partial<Call> & Pick<Call, 'input' | 'apply'>): void => void calls.push({ ...no, ...call });
  const both = [false, true];
  add({ input: 'complete', apply: (state) => state.complete() });
  add({ input: 'close', apply: (state) => state.close() });
  add({ input: 'close', limit: 7, apply: (state) => state.close(7) });
  add({ input: 'drain', limit: 8, apply: (state) => state.drain(8) });
  add({ input: 'workEnded', apply: (state) => state.workEnded() });
  add({ input: 'peerFinished', apply: (state) => state.peerFinished() });
  add({
    input: 'keepSendingAfterPeer',
    apply: (state) => {
      state.keepSendingAfterPeer();
      return [];
    },
  });
  for (const hasReader of both) {
    add({ input: 'completeAndClose', hasReader, apply: (state) => state.completeAndClose(hasReader) });
    add({ input: 'awaitReader', hasReader, apply: (state) => state.awaitReader(hasReader) });
    add({ input: 'finSent', hasReader, apply: (state) => state.finSent(hasReader) });
    for (const isBusy of both) {
      add({ input: 'checkDrained', hasReader, isBusy, apply: (state) => state.checkDrained(isBusy, hasReader) });
    }
    for (const hasSuccessor of both) {
      const readers = { hasReader, hasSuccessor };
      add({ input: 'readersChanged', ...readers, apply: (state) => state.readersChanged(hasReader, hasSuccessor) });
      add({ input: 'peerEndDelivered', ...readers, apply: (state) => state.peerEndDelivered(hasReader, hasSuccessor) });
    }
  }
  const errors = {
    peerCutOff: ['ERR_TLS'],
    badFrame: ['ERR_FRAME_INVALID'],
    destroy: ['ERR_CLOSED'],
    fail: ['ECONNRESET', 'ERR_TIMEOUT_CLOSE'],
    failAtOnce: ['ERR_TLS'],
  } as const;
  for (const input of Object.keys(errors) as (keyof typeof errors)[]) {
    for (const code of errors[input]) {
      const error = new SocketError(code, input);
      add({ input, error, apply: (state) => state[input](error) });
    }
  }
  for (const error of [undefined, new SocketError('ECONNRESET', 'socketClosed')]) {
    add({ input: 'socketClosed', error, apply: (state) => state.socketClosed(error) });
  }
  return calls;
}

/** Returns every state to which some sequence of inputs leads. */
function allStates(calls: readonly Call[]): CloseState[] {
  const states = new Map<string, CloseState>();
  const found = [true, false].map((halfOpen) => new CloseState({ halfOpen, closeTimeout }));
  for (let state = found.pop(); state !== undefined; state = found.pop()) {
    const key = describeFields(fieldsOf(state));
    if (states.has(key)) continue;
    states.set(key, state);
    for (const call of calls) {
      const next = copyOf(state);
      call.apply(next);
      found.push(next);
    }
  }
  return [...states.values()];
}

function fieldsOf(state: CloseState): Fields {
  return { ...(state as unknown as Fields) };
}

function describeFields(fields: Fields): string {
  const { phase, receiving, sending, reason, endsWithPeer, closesWithoutReader } = fields;
  return [phase, receiving, sending, reason?.kind, endsWithPeer, closesWithoutReader].join();
}

function copyOf(state: CloseState): CloseState {
  return Object.assign(new CloseState({ halfOpen: false, closeTimeout }), state);
}

describe('the table in the comment of CloseState', () => {
  const table = readTable();
  const calls = allCalls();
  const used = new Set<Transition>();

  function find(fields: Fields, call: Call): Transition | undefined {
    const line = table.find(
      ({ input, phases: allowed, condition }) =>
        input === call.input && allowed.includes(fields.phase) && conditions[condition]!(fields, call),
    );
    if (line !== undefined) used.add(line);
    if (line?.as === undefined) return line;
    return find(fields, { ...call, input: line.as, error: call.error ?? fields.reason?.error });
  }

  it('the table contains exactly the conditions that this test knows', () => {
    expect(new Set(table.map(({ condition }) => condition))).toEqual(new Set(Object.keys(conditions)));
  });

  it('the table contains every input of CloseState', () => {
    const inner = ['constructor', 'isEndDue', 'finishSending', 'announceFirst', 'abort'];
    const members = Object.entries(Object.getOwnPropertyDescriptors(CloseState.prototype));
    const methods = members
      .filter(([name, { get }]) => get === undefined && !inner.includes(name))
      .map(([name]) => name);
    expect(new Set(table.map(({ input }) => input))).toEqual(new Set(methods));
    expect(new Set(calls.map(({ input }) => input))).toEqual(new Set(methods));
  });

  it('the table says what each input does in each state', () => {
    const states = allStates(calls);
    expect(new Set(states.map((state) => fieldsOf(state).phase))).toEqual(new Set(phases));
    for (const start of states) {
      const before = fieldsOf(start);
      for (const call of calls) {
        const state = copyOf(start);
        const actions = call.apply(state);
        const after = fieldsOf(state);
        const line = find(before, call);
        const expected = (line?.actions ?? []).filter((name) => name !== 'finishSending' || before.sending === 'open');
        const message = `${call.input} in ${describeFields(before)}`;
        expect(
          actions.map((action) => action.do),
          message,
        ).toEqual(expected);
        expect(after.phase, message).toBe(line?.next ?? before.phase);
        for (const action of actions) {
          const carriesOwnError = action.do === 'abortInput' && ['destroy', 'badFrame'].includes(call.input);
          if ('error' in action) {
            expect(action.error, message).toBe(carriesOwnError ? call.error : after.reason?.error);
          }
          if ('limit' in action) expect(action.limit, message).toBe(call.limit ?? closeTimeout);
        }
      }
    }
    expect(table.filter((line) => !used.has(line))).toEqual([]);
  });
});
