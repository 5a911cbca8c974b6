import type { SessionAction, SessionEvent } from './session-events.js';
import type { Dialling, SessionState, Surroundings } from './session-phases.js';
import {
  addReader,
  breakStream,
  conclude,
  drainReader,
  readOnOrLeave,
  removeReader,
  reportBadFrame,
  startWaiting,
} from './session-reading.js';
import { closed, connect, destroy, dial, end, finishSending, giveUp, leave, lose, lost, start } from './session-run.js';
import { isOf, show, type Step, unchanged, without } from './session-step.js';

/**
 * Decides when a client dials, dials again and ends. `reduce` takes a state and an event, and returns the next state
 * and the actions to perform. `reduce` does no I/O and reads no clock: `Session` performs the actions.
 *
 * An event is ignored if the table does not list it for the state, or if the listed condition is false. A row lists
 * every action that the reducer can return for the row's event. `test/model/session-reducer.test.ts` compares the table
 * with the reducer.
 *
 * `start` stands for: replaceOutput, watchSignal, expectConnection, close, dial, publish, continue.
 *
 * | state                 | event                                                     | next state   | actions                                                               | rules       |
 * | --------------------- | --------------------------------------------------------- | ------------ | --------------------------------------------------------------------- | ----------- |
 * | idle                  | watch                                                     | connecting   | start                                                                 | K1, K2, K8  |
 * | idle                  | observed, if nothing is left to read                      | connecting   | start                                                                 | K1, K8      |
 * | idle                  | observed, if something is left                            | idle         | attach                                                                | K8, K14     |
 * | idle                  | subscribersEnded, if a reader has been added              | connecting   | replaceOutput, watchSignal, expectConnection, dial, publish, continue | K8          |
 * | idle                  | finishing, closed, of the last connection                 | idle         | replaceOutput                                                         | C7, K8      |
 * | idle                  | failed                                                    | idle         | failOutput                                                            | C4, C8      |
 * | idle                  | destroyed                                                 | idle         | failOutput, destroy                                                   | C8, K8      |
 * | connecting            | opened                                                    | preparing    |                                                                       | K18         |
 * | connecting, preparing | ready                                                     | connected    | endAttempt, block, open, attach, adopt, publish                       | C2, K4, K14 |
 * | connecting, preparing | attemptFailed, if a retry is allowed                      | disconnected | parkOutput, publish, continue                                         | K3, K4, K16 |
 * | connecting, preparing | attemptFailed, if none is allowed                         | idle         | ignoreSignal, abandonAttempt, endReaders, endWatchers                 | K3, K4, K16 |
 * | connecting, preparing | failed, destroyed                                         | idle         | ignoreSignal, abandonAttempt, endReaders, endWatchers                 | K3, K7      |
 * | connected             | finishing, if a retry is allowed                          | connected    | retire                                                                | K4, K12     |
 * | connected             | finishing, after its readers have ended                   | connected    | replaceOutput                                                         | C7, K8      |
 * | connected             | closed, if a retry is allowed                             | disconnected | parkOutput, publish, continue                                         | K3, K4, K17 |
 * | connected             | closed, if none is allowed                                | idle         | ignoreSignal, replaceOutput, endReaders, endWatchers, continue        | K3, K4      |
 * | connected             | readerEnding, if a subscriber remains                     | connected    | replaceOutput                                                         | C7, K8      |
 * | connected             | readerEnding, of the last subscriber                      | idle         | ignoreSignal, replaceOutput                                           | C7, K8      |
 * | connected             | failed                                                    | connected    | failOutput, fail                                                      | C8, K17     |
 * | connected             | destroyed                                                 | connected    | replaceOutput, destroy                                                | C8, K17     |
 * | disconnected          | announced                                                 | waiting      | readNext, wait                                                        | K4, K5, K11 |
 * | waiting               | waits                                                     | waiting      | publish                                                               | K2, K10     |
 * | waiting               | due                                                       | connecting   | dial, publish                                                         | K2, K5      |
 * | waiting               | policyEnded, policyFailed                                 | idle         | ignoreSignal, abandonAttempt, endReaders, endWatchers                 | K10, K11    |
 * | disconnected, waiting | failed, destroyed                                         | idle         | ignoreSignal, abandonAttempt, endReaders, endWatchers                 | K10         |
 * | any but idle          | watch                                                     | the same     | publish                                                               | K1, K2      |
 * | any but idle          | observed                                                  | the same     | attach                                                                | K1, K8, K14 |
 * | any                   | unobserved                                                | the same     | detach, continue                                                      | K1          |
 * | any                   | unwatch, if a subscriber remains                          | the same     |                                                                       | K1          |
 * | any                   | readerLeft, readerEnding, if a subscriber remains         | the same     | readNext                                                              | K8, K14     |
 * | any but idle          | unwatch, readerLeft, readerEnding, of the last subscriber | idle         | readNext, ignoreSignal, abandonAttempt, replaceOutput, close          | K1, K7      |
 * | any                   | readerDrained                                             | the same     | forwardDrained, readNext, dropRest, reportStreamEnd                   | C7, K4, K14 |
 * | any                   | badFrame                                                  | the same     | forwardBadFrame, continue                                             | D3, K17     |
 * | any                   | badFrameHandled                                           | the same     | readNext, reportStreamEnd                                             | D3, K17     |
 *
 * An event with a field `dial` belongs to the attempt with that number. Such an event is ignored if the next attempt
 * has begun or the client has ended.
 */
export function reduce<C, R, W>(
  state: SessionState<C, R, W>,
  event: SessionEvent<C, R, W>,
  around: Surroundings<C, R>,
): Step<C, R, W> {
  switch (event.type) {
    case 'watch': {
      const watched = { ...state, watchers: [...state.watchers, event.watcher] };
      if (watched.phase === 'idle') return start(watched, around);
      return { state: watched, actions: [{ do: 'publish', watchers: [event.watcher], shown: watched.shown }] };
    }
    case 'unwatch':
      return leave({ ...state, watchers: without(state.watchers, event.watcher) });
    case 'observed':
      return addReader({ ...state, readers: [...state.readers, event.reader] }, event.reader, around);
    case 'unobserved':
      return removeReader({ ...state, readers: without(state.readers, event.reader) }, event.reader);
    case 'readerLeft':
      return readOnOrLeave(state, around);
    case 'subscribersEnded':
      return state.phase === 'idle' && state.readers.length > 0 ? start(state, around) : unchanged(state);
    case 'opened':
      return state.phase === 'connecting' && isOf(state, event)
        ? unchanged({ ...state, phase: 'preparing' })
        : unchanged(state);
    case 'ready':
      return isDialling(state) && isOf(state, event) ? connect(state, event.connection, around) : unchanged(state);
    case 'attemptFailed':
      return isDialling(state) && isOf(state, event)
        ? lose(state, event.error, undefined, !event.isFinal, around)
        : unchanged(state);
    case 'finishing':
      return finishSending(state, event.connection, event.error, around);
    case 'closed':
      return closed(state, event, around);
    case 'announced':
      return state.phase === 'disconnected' && isOf(state, event) ? startWaiting(state, around) : unchanged(state);
    case 'waits': {
      if (state.phase !== 'waiting' || !isOf(state, event)) return unchanged(state);
      const shown = { ...lost(state.count, state.error), status: 'waiting', delay: event.delay } as const;
      return show({ ...state, shown });
    }
    case 'due':
      return state.phase === 'waiting' && isOf(state, event) ? dial(state, state.next) : unchanged(state);
    case 'policyEnded':
      return state.phase === 'waiting' && isOf(state, event) ? end(state, undefined, around) : unchanged(state);
    case 'policyFailed':
      return state.phase === 'waiting' && isOf(state, event) ? end(state, event.error, around) : unchanged(state);
    case 'readerDrained':
      return drainReader(state, event.reader, event.end, around);
    case 'badFrame':
      return reportBadFrame(state, event.error);
    case 'badFrameHandled':
      return breakStream(state, event.connection, event.error, around);
    case 'readerEnding':
      return conclude({ ...state, readers: without(state.readers, event.reader) }, event.error, around);
    case 'failed':
      return giveUp(state, event.error, around);
    case 'destroyed':
      return destroy(state, event.error, event.reason, around);
  }
}

/**
 * Whether `action` is obsolete. An earlier action of the same step may have called a subscriber, and that subscriber
 * may have ended the attempt, ended the wait, or caused a newer state to be published.
 */
export function isOvertaken<C, R, W>(state: SessionState<C, R, W>, action: SessionAction<C, R, W>): boolean {
  switch (action.do) {
    case 'dial':
      return state.phase !== 'connecting' || state.dials !== action.dial;
    case 'wait':
      return state.phase !== 'waiting' || state.dials !== action.dial;
    case 'publish':
      return state.phase === 'idle' || state.shown !== action.shown;
    default:
      return false;
  }
}

function isDialling<C, R, W>(state: SessionState<C, R, W>): state is Dialling<C, R, W> {
  return state.phase === 'connecting' || state.phase === 'preparing';
}
