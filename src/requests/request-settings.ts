import { SocketError } from '../errors/socket-error.js';
import { count, duration, invalid, object } from '../validation/validate.js';

/** What `requests` goes by: checked, and with the defaults filled in. */
export interface RequestSettings<In, Id> {
  readonly answers: ((message: In) => Id | undefined) | undefined;
  readonly timeout: number;
  readonly maxPending: number;
}

/** Checks the options of `requests` and fills in the defaults (A5). */
export function requestSettings<In, Id>(options: {
  readonly [Name in keyof RequestSettings<In, Id>]?: RequestSettings<In, Id>[Name] | undefined;
}): RequestSettings<In, Id> {
  const { answers, timeout, maxPending, ...others } = object('options', options) ?? {};
  for (const [name, value] of Object.entries(others)) {
    if (value !== undefined) throw new SocketError('ERR_OPTION_INVALID', `${name} is no option of requests`);
  }
  if (answers !== undefined && typeof answers !== 'function') throw invalid('answers', answers, 'a function');
  return {
    answers,
    timeout: duration('timeout', timeout, 10_000),
    maxPending: count('maxPending', maxPending, 1_024),
  };
}
