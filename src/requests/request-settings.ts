import { checkExactOptions, count, duration, func, optional, withDefault } from '../validation/checks.js';

export interface RequestSettings<In, Id> {
  readonly answers: ((message: In) => Id | undefined) | undefined;
  readonly timeout: number;
  readonly maxPending: number;
}

/** Checks the options of `requests` and fills in the defaults (A5). */
export function requestSettings<In, Id>(options: {
  readonly [Name in keyof RequestSettings<In, Id>]?: RequestSettings<In, Id>[Name] | undefined;
}): RequestSettings<In, Id> {
  const checks = {
    answers: optional(func<(message: In) => Id | undefined>()),
    timeout: withDefault(duration, 10_000),
    maxPending: withDefault(count, 1_024),
  };
  return checkExactOptions('requests', checks, options);
}
