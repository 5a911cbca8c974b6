import { isDeepStrictEqual } from 'node:util';

/**
 * Whether a received message equals the sent message. The comparison is deep and strict, with two exceptions:
 *
 * - Received bytes equal sent bytes even if the two have different classes, such as `Buffer` and `Uint8Array`. Received
 *   bytes also equal a sent string whose UTF-8 encoding is these bytes.
 * - An object without a prototype equals a plain object with the same members, because no codec transmits the
 *   difference.
 */
export function sameMessage(received: unknown, sent: unknown): boolean {
  if (!(received instanceof Uint8Array)) {
    // Most messages can be compared without copies, so make copies only if this comparison fails.
    return isDeepStrictEqual(received, sent) || isDeepStrictEqual(withPrototypes(received), withPrototypes(sent));
  }
  if (typeof sent === 'string') return Buffer.from(sent).equals(received);
  return sent instanceof Uint8Array && Buffer.compare(received, sent) === 0;
}

/** Copies plain objects, arrays, maps and sets. In the copy, objects without a prototype have the usual prototype. */
function withPrototypes(value: unknown, copies = new Map<object, object>()): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const known = copies.get(value);
  if (known !== undefined) return known;
  switch (Object.getPrototypeOf(value)) {
    case null:
    case Object.prototype:
      // `value` may be an array or a date whose prototype was replaced.
      return isPlainObject(value) ? copyMembers(value, {}, copies) : value;
    case Array.prototype:
      return copyMembers(value, new Array((value as unknown[]).length), copies);
    case Map.prototype: {
      const copy = new Map<unknown, unknown>();
      copies.set(value, copy);
      for (const [key, member] of value as Map<unknown, unknown>) {
        copy.set(withPrototypes(key, copies), withPrototypes(member, copies));
      }
      return copy;
    }
    case Set.prototype: {
      const copy = new Set<unknown>();
      copies.set(value, copy);
      for (const member of value as Set<unknown>) copy.add(withPrototypes(member, copies));
      return copy;
    }
    default:
      return value;
  }
}

/** Whether `value` was made as a plain object, whatever its prototype is now. */
function isPlainObject(value: object): boolean {
  return Object.prototype.toString.call(value) === '[object Object]';
}

/** Defines each member, because assigning to a member named `__proto__` would set the prototype. */
function copyMembers(from: object, into: object, copies: Map<object, object>): object {
  copies.set(from, into);
  for (const key of Reflect.ownKeys(from)) {
    if (key === 'length' && Array.isArray(into)) continue;
    const { enumerable = false } = Object.getOwnPropertyDescriptor(from, key) ?? {};
    const value = withPrototypes((from as Record<PropertyKey, unknown>)[key], copies);
    Object.defineProperty(into, key, { value, enumerable, configurable: true, writable: true });
  }
  return into;
}
