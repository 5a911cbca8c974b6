import { backoff, type BackoffOptions, connect, listen, serve } from 'rxjs-sockets';
import type {
  AddressInput,
  Client,
  ConnectionOptions,
  ConnectOptions,
  Connection,
  ListenOptions,
  ServeOptions,
  Server,
} from 'rxjs-sockets';
import {
  delimited,
  type DelimitedOptions,
  jsonLines,
  type JsonLinesOptions,
  lengthPrefixed,
  type LengthPrefixedOptions,
  lines,
  type LinesOptions,
  netstring,
  type NetstringOptions,
} from 'rxjs-sockets/codecs';
import type { PullOptions } from 'rxjs-sockets/ix';
import type { Faults, FaultyOptions, VerifyCodecOptions } from 'rxjs-sockets/testing';
import { describe, expectTypeOf, test } from 'vitest';

/** The names of the options that may be omitted. */
type Optional<T> = { [K in keyof T]-?: Pick<T, K> extends Required<Pick<T, K>> ? never : K }[keyof T];
/** The names of the options that may be omitted, but with `exactOptionalPropertyTypes` may not be `undefined`. */
type Strict<T> = { [K in Optional<T>]: Record<K, undefined> extends Pick<T, K> ? never : K }[Optional<T>];

type ShutdownOptions = NonNullable<Parameters<Server<string, string>['shutdown']>[0]>;

describe('an undefined option', () => {
  test('A7: the helper types of this test find an option whose type does not permit `undefined`', () => {
    interface Mixed {
      readonly strict?: number;
      readonly loose?: number | undefined;
      readonly needed: number;
    }
    expectTypeOf<Optional<Mixed>>().toEqualTypeOf<'strict' | 'loose'>();
    expectTypeOf<Strict<Mixed>>().toEqualTypeOf<'strict'>();
  });

  test('A7: every option may be `undefined`, which counts as omitted', () => {
    expectTypeOf<Optional<ListenOptions>>().toEqualTypeOf<keyof ListenOptions>();
    expectTypeOf<Optional<ConnectOptions>>().toEqualTypeOf<keyof ConnectOptions>();
    expectTypeOf<Strict<ConnectionOptions<string, string>>>().toBeNever();
    expectTypeOf<Strict<ListenOptions<string, string>>>().toBeNever();
    expectTypeOf<Strict<ConnectOptions<string, string>>>().toBeNever();
    expectTypeOf<Strict<ServeOptions>>().toBeNever();
    expectTypeOf<Strict<BackoffOptions>>().toBeNever();
    expectTypeOf<Strict<PullOptions>>().toBeNever();
    expectTypeOf<Strict<ShutdownOptions>>().toBeNever();
    expectTypeOf<Strict<DelimitedOptions>>().toBeNever();
    expectTypeOf<Strict<JsonLinesOptions>>().toBeNever();
    expectTypeOf<Strict<LengthPrefixedOptions>>().toBeNever();
    expectTypeOf<Strict<LinesOptions>>().toBeNever();
    expectTypeOf<Strict<NetstringOptions>>().toBeNever();
    expectTypeOf<Strict<VerifyCodecOptions>>().toBeNever();
    expectTypeOf<Strict<FaultyOptions>>().toBeNever();
    expectTypeOf<Strict<Faults>>().toBeNever();
    expectTypeOf<{ port: number; host: undefined }>().toExtend<AddressInput>();
    expectTypeOf<{ service: string; host: undefined }>().toExtend<AddressInput>();
  });

  test('A7: an option that is `undefined` leaves the types unchanged', () => {
    const dial = ({ codec, idleTimeout }: ConnectOptions<string, number>): Client<string, number> =>
      connect({ port: 1 }, { codec, idleTimeout });
    expectTypeOf(dial).toBeCallableWith({});
    expectTypeOf(listen({ port: 0 }, { codec: undefined })).toEqualTypeOf(listen({ port: 0 }));
    expectTypeOf(connect({ port: 1, host: undefined }, { codec: undefined })).toEqualTypeOf(connect({ port: 1 }));
    void backoff({ initial: undefined });
    void serve((_: Connection) => undefined, { concurrent: undefined });
    void listen({ port: 0 }).shutdown({ deadline: undefined });
    const _text = [
      lines({ maxLength: undefined }),
      jsonLines({ maxLength: undefined }),
      netstring({ maxLength: undefined }),
    ];
    const _bytes = [lengthPrefixed({ bytes: undefined, endian: undefined }), delimited('\0', { maxLength: undefined })];
  });
});
