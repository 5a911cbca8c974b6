import {
  bufferCount,
  filter,
  map,
  type Observable,
  type Observer,
  pipe,
  type Subscription,
  type SubjectLike,
} from 'rxjs';
import {
  type Channel,
  concatMapPaced,
  type Connection,
  Flow,
  mergeMapPaced,
  relay,
  sendTo,
  type Server,
} from 'rxjs-sockets';
import type { Codec } from 'rxjs-sockets/codecs';
import { pull } from 'rxjs-sockets/ix';
import type { AsyncIterableX } from 'ix/asynciterable';
import { describe, expectTypeOf, test } from 'vitest';

declare const channel: Channel<string>;
declare const asymmetric: Channel<Buffer, Uint8Array | string>;
const toNumber = map((text: string) => Number(text));
declare const codec: Codec<{ id: number }, { name: string }>;

describe('Channel', () => {
  test("C9: Channel<T> is RxJS's SubjectLike<T>", () => {
    expectTypeOf(channel).toExtend<SubjectLike<string>>();
    const takes = (subject: SubjectLike<string>): void => subject.next('x');
    takes(channel);
    // @ts-expect-error a channel of lines is not a subject of numbers
    const _wrong: SubjectLike<number> = channel;
  });

  test('C9: a Channel is an Observer of what it sends, and an Observable of what it receives', () => {
    expectTypeOf(asymmetric).toExtend<Observer<Uint8Array | string>>();
    expectTypeOf(asymmetric).toExtend<Observer<string>>();
    expectTypeOf(asymmetric).toExtend<Observable<Buffer>>();
    expectTypeOf(asymmetric).not.toExtend<Observer<number>>();
    expectTypeOf(asymmetric).not.toExtend<Observable<string>>();
    expectTypeOf<Channel<string>>().toEqualTypeOf<Channel<string, string>>();
  });

  test('F7: a Channel can subscribe to a Flow of what the Channel sends', () => {
    expectTypeOf(channel.subscribe(channel)).toEqualTypeOf<Subscription>();
    asymmetric.subscribe(asymmetric);
    channel.subscribe(asymmetric);
    // @ts-expect-error the channel does not send Buffers
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- a wrong call counts as a call of the first overload
    asymmetric.subscribe(channel);
  });

  test('C5: `send` and `sendFrom` accept what the channel sends', () => {
    expectTypeOf(channel.send).parameters.toEqualTypeOf<[string]>();
    expectTypeOf(channel.send('x')).toEqualTypeOf<Promise<void>>();
    expectTypeOf(channel.sendFrom(['a', 'b'])).toEqualTypeOf<Observable<never>>();
    void channel.sendFrom(
      (async function* () {
        yield await Promise.resolve('a');
      })(),
    );
    void channel.sendFrom(channel);
    // @ts-expect-error the channel does not send numbers
    void channel.sendFrom([1, 2]);
    // @ts-expect-error the channel does not send numbers
    channel.next(1);
  });

  test('C13: `framed` returns a Channel with the types of its codec', () => {
    expectTypeOf(asymmetric.framed(codec)).toEqualTypeOf<Channel<{ id: number }, { name: string }>>();
  });

  test('C4: `writable` is an Observable of booleans', () => {
    expectTypeOf(channel.writable).toEqualTypeOf<Observable<boolean>>();
    expectTypeOf(channel.bufferedBytes).toEqualTypeOf<number>();
    // @ts-expect-error `closed` is read-only
    channel.closed = true;
  });
});

describe('Flow', () => {
  test('F6: a Flow is an Observable and an AsyncIterable', () => {
    expectTypeOf<Flow<string>>().toExtend<Observable<string>>();
    expectTypeOf<Flow<string>>().toExtend<AsyncIterable<string>>();
    expectTypeOf(channel).toExtend<Flow<string>>();
    expectTypeOf<Server<string, string>>().toEqualTypeOf<Server<string, string>>();
    expectTypeOf<Server<string, number>>().toExtend<Flow<Connection<string, number>>>();
  });

  test('F6: `pipe` returns a Flow of what the operators emit', () => {
    expectTypeOf(channel.pipe()).toEqualTypeOf<Flow<string>>();
    expectTypeOf(channel.pipe(toNumber)).toEqualTypeOf<Flow<number>>();
    expectTypeOf(
      channel.pipe(
        map((line) => line.length),
        filter((length) => length > 0),
        bufferCount(2),
      ),
    ).toEqualTypeOf<Flow<number[]>>();
    expectTypeOf(channel.pipe(pipe(toNumber, map(String)))).toEqualTypeOf<Flow<string>>();
    const n = map((value: string) => value);
    expectTypeOf(channel.pipe(n, n, n, n, n, n, n, n, toNumber)).toEqualTypeOf<Flow<number>>();
    expectTypeOf(channel.pipe(n, n, n, n, n, n, n, n, n, toNumber)).toEqualTypeOf<Flow<unknown>>();
    // @ts-expect-error a line is not a number
    void channel.pipe(map((value: number) => value));
  });

  test('F6: TypeScript infers what the paced operators emit', () => {
    expectTypeOf(channel.pipe(concatMapPaced((line) => [line.length]))).toEqualTypeOf<Flow<number>>();
    expectTypeOf(channel.pipe(concatMapPaced(async (line, index) => ({ line, index })))).toEqualTypeOf<
      Flow<{ line: string; index: number }>
    >();
    expectTypeOf(channel.pipe(mergeMapPaced((line) => Promise.resolve(line), 4))).toEqualTypeOf<Flow<string>>();
    expectTypeOf(channel.pipe(sendTo(asymmetric))).toEqualTypeOf<Flow<never>>();
    // @ts-expect-error `concurrent` has no default, because without a limit `mergeMapPaced` would not be paced
    mergeMapPaced((line: string) => [line]);
    // @ts-expect-error the channel sends lines, not numbers
    void channel.pipe(toNumber, sendTo(channel));
  });

  test('F5: `for await` over a Flow gives the values of the Flow', async () => {
    for await (const line of channel) expectTypeOf(line).toEqualTypeOf<string>();
    for await (const length of channel.pipe(map((line) => line.length))) expectTypeOf(length).toEqualTypeOf<number>();
  });

  test('F5: `pull` returns the AsyncIterableX of ix', () => {
    expectTypeOf(pull(channel)).toEqualTypeOf<AsyncIterableX<string>>();
  });

  test('F2: a Hold can be used with `using`', () => {
    using hold = channel.hold();
    expectTypeOf(hold.release).returns.toEqualTypeOf<void>();
    expectTypeOf(hold).toExtend<Disposable>();
  });

  test('F1: Flow is an abstract class', () => {
    // @ts-expect-error a Flow cannot be constructed
    new Flow<string>();
  });
});

describe('relay', () => {
  test('K6: `relay` accepts any two channels and emits no value', () => {
    expectTypeOf(relay(channel, asymmetric)).toEqualTypeOf<Observable<never>>();
  });
});
