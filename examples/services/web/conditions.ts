/** The conditions and the range of a request: RFC 9110, sections 13 and 14. */
import type { IncomingHttpHeaders } from 'node:http';

export interface Version {
  readonly tag: string;
  /** The time of the last change, in whole seconds, as in HTTP. */
  readonly modified: Date;
}

/** The positions of the first and the last byte of a part of a file. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/**
 * Evaluates the conditions of a GET or HEAD request, in the order of RFC 9110, section 13.2.2.
 *
 * @returns 412 if the client wants a different version, 304 if the client has this version, or 200 if the server has to
 * send the file
 */
export function conditionalStatus(headers: IncomingHttpHeaders, { tag, modified }: Version): 200 | 304 | 412 {
  const match = headers['if-match'];
  const unmodifiedSince = seconds(headers['if-unmodified-since']);
  if (match !== undefined) {
    if (!tags(match).some((known) => known === '*' || known === tag)) return 412;
  } else if (modified.getTime() > unmodifiedSince) return 412;

  const noneMatch = headers['if-none-match'];
  if (noneMatch !== undefined) {
    return tags(noneMatch).some((known) => known === '*' || known.replace('W/', '') === tag) ? 304 : 200;
  }
  return modified.getTime() <= seconds(headers['if-modified-since']) ? 304 : 200;
}

/**
 * Reads the range of a GET request.
 *
 * @param size - the size of the file, in bytes
 * @returns the range, or `unsatisfiable` if the range begins after the last byte of the file, or asks for the last 0
 * bytes. Returns undefined, which means the complete file, if the request has no range or several ranges, if the range
 * is for a different version of the file, or if RFC 9110 does not define such a range
 */
export function requestedRange(
  headers: IncomingHttpHeaders,
  size: number,
  version: Version,
): Range | 'unsatisfiable' | undefined {
  const [, first = '', last = ''] = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(headers.range ?? '') ?? [];
  if (first === '' && last === '') return undefined;
  if (!isSameVersion(headers['if-range'], version)) return undefined;
  if (first === '') {
    if (Number(last) === 0) return 'unsatisfiable';
    return size === 0 ? undefined : { start: Math.max(0, size - Number(last)), end: size - 1 };
  }
  if (last !== '' && Number(last) < Number(first)) return undefined;
  if (Number(first) >= size) return 'unsatisfiable';
  return { start: Number(first), end: last === '' ? size - 1 : Math.min(Number(last), size - 1) };
}

/**
 * Whether the parts of the file that the client already has are from this version of the file. A weak tag does not
 * prove that the parts are from this version.
 */
function isSameVersion(condition: string | string[] | undefined, { tag, modified }: Version): boolean {
  if (condition === undefined || condition === tag) return true;
  return typeof condition === 'string' && !condition.includes('"') && seconds(condition) === modified.getTime();
}

function tags(header: string): readonly string[] {
  return header.match(/(?:W\/)?"[^"]*"|\*/g) ?? [];
}

/**
 * Parses an HTTP date. The date is in GMT even if it does not end with `GMT`. Returns NaN if there is no valid date.
 */
function seconds(date: string | undefined): number {
  if (date === undefined) return NaN;
  return Date.parse(date.endsWith('GMT') ? date : `${date} GMT`);
}
