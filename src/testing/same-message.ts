import { isDeepStrictEqual } from 'node:util';

/**
 * Whether a codec gave what was sent: deep and strict, with two exceptions. Bytes equal bytes of another class, and text in
 * UTF-8; and an object without a prototype equals one with the same members that has the usual one, since no codec can
 * tell which of them was sent.
 */
export function sameMessage(received: unknown, sent: unknown): boolean {
  if (!(received instanceof Uint8Array)) {
    // Most are the same as they are.
    return isDeepStrictEqual(received, sent) || isDeepStrictEqual(withPrototypes(received), withPrototypes(sent));
  }
  if (typeof sent === 'string') return Buffer.from(sent).equals(received);
  return sent instanceof Uint8Array && Buffer.compare(received, sent) === 0;
}

/**
 * Copies what a message is mostly made of, with the usual prototype for each object that has none. What is of a class of
 * its own is kept as it is.
 */
function withPrototypes(value: unknown, copies = new Map<object, object>()): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const known = copies.get(value);
  if (known !== undefined) return known;
  switch (Object.getPrototypeOf(value)) {
    case null:
    case Object.prototype:
      // An array or a date whose prototype was replaced is no object like any other.
      return isPlain(value) ? copied(value, {}, copies) : value;
    case Array.prototype:
      return copied(value, new Array((value as unknown[]).length), copies);
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

/** Whether it is an object and nothing else, whatever its prototype is. */
function isPlain(value: object): boolean {
  return Object.prototype.toString.call(value) === '[object Object]';
}

/** The members are defined, not set: one of them may be called `__proto__`. */
function copied(from: object, into: object, copies: Map<object, object>): object {
  copies.set(from, into);
  for (const key of Reflect.ownKeys(from)) {
    if (key === 'length' && Array.isArray(into)) continue;
    const { enumerable = false } = Object.getOwnPropertyDescriptor(from, key) ?? {};
    const value = withPrototypes((from as Record<PropertyKey, unknown>)[key], copies);
    Object.defineProperty(into, key, { value, enumerable, configurable: true, writable: true });
  }
  return into;
}
