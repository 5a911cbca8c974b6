import { readFileSync } from 'node:fs';
import { expect } from 'vitest';

/** A state of the reducer. Only its phase is compared with the table. */
interface Shown {
  readonly phase: string;
}

interface Row {
  readonly states: readonly string[];
  readonly events: readonly string[];
  /** The phase after the step, or `undefined` if the phase stays the same. */
  readonly next: string | undefined;
  readonly actions: readonly string[];
  readonly text: string;
}

const phases = ['idle', 'connecting', 'preparing', 'connected', 'disconnected', 'waiting'];

/** The table in the comment of `session-reducer.ts`. The steps of the reducer are compared with this table. */
export class TransitionTable {
  private readonly rows: readonly Row[] = readRows();
  private readonly taken = new Map<Row, Set<string>>();

  /** Checks that a row of the table has this step, unless the event was ignored. */
  check(
    before: Shown,
    event: { readonly type: string },
    step: { state: Shown; actions: readonly { do: string }[] },
  ): void {
    const actions = step.actions.map((action) => action.do);
    const rows = this.rows.filter(
      ({ states, events, next, actions: listed }) =>
        states.includes(before.phase) &&
        events.includes(event.type) &&
        (next ?? before.phase) === step.state.phase &&
        actions.every((action) => listed.includes(action)),
    );
    if (rows.length === 0 && (step.state.phase !== before.phase || actions.length > 0)) {
      expect.fail(`not in the table: ${before.phase}, ${event.type}, ${step.state.phase}: ${actions.join(', ')}`);
    }
    for (const row of rows) {
      const taken = this.taken.get(row) ?? new Set();
      this.taken.set(row, taken);
      for (const action of actions) taken.add(action);
    }
  }

  /** Returns the rows and the actions of the table that no step so far has needed. */
  unused(): readonly string[] {
    return this.rows.flatMap((row) => {
      const taken = this.taken.get(row);
      if (taken === undefined) return [row.text];
      return row.actions.filter((action) => !taken.has(action)).map((action) => `${action} in ${row.text}`);
    });
  }
}

function readRows(): readonly Row[] {
  const source = readFileSync(new URL('../../../src/client/session-reducer.ts', import.meta.url), 'utf8');
  const [, start = ''] = /`start` stands for: (.*)\./.exec(source) ?? [];
  const lines = source.split('\n').filter((line) => line.startsWith(' * | '));
  return lines.slice(2).map((line) => {
    const [state = '', event = '', next = '', actions = ''] = line
      .slice(5)
      .split(' | ')
      .map((cell) => cell.trim());
    return {
      states: state === 'any' ? phases : state === 'any but idle' ? phases.slice(1) : state.split(', '),
      // A condition follows the names of the events.
      events: event.replace(/, (?:if|of|after) .*/, '').split(', '),
      next: next === 'the same' ? undefined : next,
      actions: actions === '' ? [] : (actions === 'start' ? start : actions).split(', '),
      text: `${state}, ${event}`,
    };
  });
}
