import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import type { Address } from '../../src/address/address.js';
import { SocketError, type SocketErrorCode } from '../../src/errors/socket-error.js';
import { systemError } from '../../src/errors/node-errors.js';
import { describeError, describeValue } from '../../src/errors/describe-value.js';

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');
const address: Address = { transport: 'tcp', host: 'h', port: 7 };
const nodeError = (code: string, message = `connect ${code} 127.0.0.1:7`): Error =>
  Object.assign(new Error(message), { code });

// The codes as the source declares them.
const source = read('../../src/errors/socket-error.ts');
const codesOf = (type: string): string[] => {
  const from = source.indexOf(`export type ${type} =`);
  return [...source.slice(from, source.indexOf(';', from)).matchAll(/'(E[A-Z_]+)'/g)].map(([, code]) => code ?? '');
};
const library = codesOf('LibraryErrorCode');
const system = codesOf('SystemErrorCode');

describe('SocketError', () => {
  it('carries its code, its address and its cause', () => {
    const cause = new Error('why');
    const error = new SocketError('ERR_CLOSED', 'it is over', { address, cause });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: 'SocketError', code: 'ERR_CLOSED', message: 'it is over', address, cause });
    expect(error.stack).toContain('SocketError: it is over');
  });

  it('has no address or cause if none is given, but keeps a cause that is given as undefined', () => {
    const plain = new SocketError('ERR_CLOSED', 'it is over', { address: undefined });
    expect('address' in plain).toBe(false);
    expect('cause' in plain).toBe(false);
    expect('cause' in new SocketError('ERR_HANDLER', 'it threw', { cause: undefined })).toBe(true);
  });

  it('is identified by its code', () => {
    const explain = (error: SocketError): string =>
      error.code === 'EADDRINUSE' ? 'another process listens there' : error.message;
    const isWorthARetry = (code: SocketErrorCode): boolean => code === 'ECONNREFUSED' || code === 'ERR_TIMEOUT_CONNECT';
    expect(explain(new SocketError('EADDRINUSE', ''))).toBe('another process listens there');
    expect(explain(new SocketError('ERR_FRAME_INVALID', 'the checksum is wrong'))).toBe('the checksum is wrong');
    expect(isWorthARetry('ECONNREFUSED')).toBe(true);
    expect(isWorthARetry('ERR_ADDRESS_INVALID')).toBe(false);
  });
});

describe('systemError', () => {
  it("S3: keeps the errno name (such as EADDRINUSE) and the address, with Node's error as the cause", () => {
    const cause = nodeError('EADDRINUSE', 'listen EADDRINUSE');
    const error = systemError(cause, "can't listen", address);
    expect(error).toMatchObject({ code: 'EADDRINUSE', address, cause });
    expect(error.message).toBe("can't listen: EADDRINUSE (listen EADDRINUSE)");
  });

  it.each(system)('S3: keeps the code %s', (code) => {
    expect(systemError(nodeError(code), "can't listen").code).toBe(code);
  });

  it('leaves a SocketError as it is', () => {
    const error = new SocketError('ERR_TLS', 'untrusted');
    expect(systemError(error, "can't connect", address)).toBe(error);
  });

  it('reports every failure of an AggregateError, with the code of the first failure', () => {
    const cause = new AggregateError([
      nodeError('ECONNREFUSED', 'refused by ::1'),
      nodeError('ETIMEDOUT', 'no answer'),
    ]);
    const error = systemError(cause, "can't connect");
    expect(error).toMatchObject({ code: 'ECONNREFUSED', cause });
    expect(error.message).toBe("can't connect: ECONNREFUSED (refused by ::1; no answer)");
    expect('address' in error).toBe(false);
  });

  it('reports the failures of a nested AggregateError', () => {
    const inner = new AggregateError([nodeError('EHOSTUNREACH', 'no route')]);
    const error = systemError(new AggregateError([inner]), "can't connect");
    expect(error).toMatchObject({ code: 'EHOSTUNREACH', message: "can't connect: EHOSTUNREACH (no route)" });
  });

  it.each<[string, unknown, SocketErrorCode]>([
    ["an error of Node's permission model", nodeError('ERR_ACCESS_DENIED', 'use --allow-net'), 'EACCES'],
    ['an error with an unknown code', nodeError('EWHATEVER'), 'EIO'],
    ["an error of Node with one of the library's own codes", nodeError('ERR_CLOSED'), 'EIO'],
    ['an error without a code', new Error('odd'), 'EIO'],
    ['an error whose code is not a string', Object.assign(new Error('odd'), { code: 7 }), 'EIO'],
    ['an empty AggregateError', new AggregateError([]), 'EIO'],
    ['undefined', undefined, 'EIO'],
    ['null', null, 'EIO'],
    ['an object without a prototype', Object.create(null), 'EIO'],
    ['a plain object with a known code', { code: 'EPIPE' }, 'EPIPE'],
    ['an error whose message names another code', nodeError('EPIPE', 'ECONNRESET'), 'EPIPE'],
  ])('gives a known code to %s', (_, cause, code) => {
    const error = systemError(cause, "can't write");
    expect(error.code).toBe(code);
    expect(error.cause).toBe(cause);
    expect(error.message).toContain(`can't write: ${code}`);
  });
});

describe('describeValue', () => {
  it.each<[unknown, string]>([
    ['a"b\n\0', '"a\\"b\\n\\u0000"'],
    [NaN, 'NaN'],
    [null, 'null'],
    [{ port: 1, nested: { a: { b: 1 } } }, '{ port: 1, nested: [Object] }'],
    ['a'.repeat(101), `"${'a'.repeat(100)}"…`],
  ])('writes %o as text', (value, text) => {
    expect(describeValue(value)).toBe(text);
  });

  it('limits the length of the text for any input', () => {
    const large = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`member${index}`, index]));
    expect(describeValue(large).length).toBeLessThan(110);
  });
});

/** An error with replaced members. */
const odd = (members: Record<string, PropertyDescriptor>): Error => Object.defineProperties(new Error('odd'), members);
const throwing = {
  get: () => {
    throw new TypeError('no');
  },
};

describe('describeError', () => {
  it.each<[string, unknown, string]>([
    ['an error', new RangeError('no date: x'), 'RangeError: no date: x'],
    ['an error without a message', new TypeError(''), 'TypeError'],
    ['a SocketError', new SocketError('ERR_CLOSED', 'over'), 'SocketError: over'],
    ['an error of another realm', runInNewContext("new RangeError('far')"), 'RangeError: far'],
    ['an error with its own `toString`', odd({ toString: { value: () => '' } }), 'Error: odd'],
    ['an error with a throwing inspection', odd({ [inspect.custom]: { value: () => throwing.get() } }), 'Error: odd'],
    ['an error with an empty name', odd({ name: { value: '' } }), 'Error: odd'],
    ['an error whose name is not a string', odd({ name: { value: Symbol('n') } }), 'Symbol(n): odd'],
    ['an error whose message is not a string', odd({ message: { value: { a: 1 } } }), 'Error: { a: 1 }'],
    ['an error whose message is undefined', odd({ message: { value: undefined } }), 'Error'],
    ['an error whose message cannot be read', odd({ name: { value: 'OddError' }, message: throwing }), 'OddError'],
    ['an error whose members cannot be read', odd({ name: throwing, message: throwing }), 'Error'],
    ['an AggregateError without a message', new AggregateError([new Error('a'), 'b']), 'AggregateError: a; "b"'],
    ['an AggregateError with a message', new AggregateError([new Error('a')], 'both'), 'AggregateError: both'],
    ['a text', 'no', '"no"'],
    ['undefined', undefined, 'undefined'],
    ['an object', { reason: 7 }, '{ reason: 7 }'],
    ['an object without a prototype', Object.create(null), '[Object: null prototype] {}'],
    ['a symbol', Symbol('s'), 'Symbol(s)'],
    ['an object with a throwing inspection', { [inspect.custom]: () => throwing.get() }, 'an object'],
  ])('describes %s', (_, cause, text) => {
    expect(describeError(cause)).toBe(text);
  });

  it('shows a long message, but cuts the text after 1,000 characters', () => {
    expect(describeError(new Error('x'.repeat(500)))).toBe(`Error: ${'x'.repeat(500)}`);
    expect(describeError(new Error('x'.repeat(100_000)))).toHaveLength(1_001);
    expect(describeError(new Error('x'.repeat(100_000)))).toMatch(/^Error: x+…$/);
  });
});

describe('docs/errors.md', () => {
  const entries = read('../../docs/errors.md').split(/^## /m).slice(1);

  it('has one heading for each code, the library’s codes first, and no other heading', () => {
    expect(library).toHaveLength(21);
    expect(system).toContain('ECONNREFUSED');
    expect(entries.map((entry) => entry.split('\n')[0])).toEqual([...library, ...system]);
  });

  it('says for each code when it occurs, where it arrives and what to do', () => {
    for (const entry of entries) {
      expect(entry).toMatch(/^\w+\n\n- When: [^]+\n- Where: [^]+\n- What to do: [^]+\.\n/);
    }
  });
});
