import {
  type Channel,
  connect,
  type Flow,
  requests,
  type Requests,
  type RequestsById,
  type RequestsByIdOptions,
  type RequestsInOrder,
  type RequestsOptions,
  type SocketErrorCode,
} from 'rxjs-sockets';
import { describe, expectTypeOf, test } from 'vitest';

interface Answer {
  readonly id?: number;
  readonly result: string;
}

interface Question {
  readonly id: number;
}

declare const channel: Channel<Answer, Question>;
declare const text: Channel<string>;

describe('requests', () => {
  test('K21: with `answers`, a request needs an id, whose type comes from `answers`', () => {
    const calls = requests(channel, { answers: (message) => message.id });
    expectTypeOf(calls).toEqualTypeOf<RequestsById<Answer, Question, number>>();
    expectTypeOf(calls.ask({ id: 1 }, 1)).toEqualTypeOf<Promise<Answer>>();
    // @ts-expect-error the request needs an id
    void calls.ask({ id: 1 });
    // @ts-expect-error the ids are numbers
    void calls.ask({ id: 1 }, '1');
    // @ts-expect-error the channel does not send text
    void calls.ask('question', 1);
  });

  test('K21: the function `answers` gets the messages that the channel receives', () => {
    requests(channel, {
      answers: (message) => {
        expectTypeOf(message).toEqualTypeOf<Answer>();
        return message.result;
      },
    });
    // @ts-expect-error the channel does not receive numbers
    requests(channel, { answers: (message: number) => message });
  });

  test('K21: without `answers`, a request has no id', () => {
    const calls = requests(text);
    expectTypeOf(calls).toEqualTypeOf<RequestsInOrder<string, string>>();
    expectTypeOf(calls.ask('question')).toEqualTypeOf<Promise<string>>();
    expectTypeOf(requests(text, { timeout: 0, maxPending: 1 })).toEqualTypeOf<RequestsInOrder<string, string>>();
    // @ts-expect-error a request without `answers` has no id
    void calls.ask('question', 1);
    // @ts-expect-error requests has no such option
    requests(text, { limit: 1 });
  });

  test('K21: `events` is a Flow of what the channel receives', () => {
    const calls: Requests<string> = requests(text);
    expectTypeOf(calls.events).toEqualTypeOf<Flow<string>>();
    expectTypeOf(calls.pending).toEqualTypeOf<number>();
    // @ts-expect-error `pending` is read-only
    calls.pending = 0;
  });

  test('K21: `requests` accepts a channel, such as the `data` of a client', () => {
    const client = connect('tcp://localhost:7000');
    expectTypeOf(requests(client.data)).toEqualTypeOf<RequestsInOrder<Buffer, Uint8Array | string>>();
    // A client is not a channel.
    expectTypeOf(client).not.toExtend<Parameters<typeof requests>[0]>();
  });

  test('K21: `requests` accepts options in a variable', () => {
    const byId: RequestsByIdOptions<Answer, number> = { answers: ({ id }) => id, timeout: 1_000 };
    expectTypeOf(requests(channel, byId)).toEqualTypeOf<RequestsById<Answer, Question, number>>();
    expectTypeOf(requests(text, { answers: undefined, timeout: undefined, maxPending: undefined })).toEqualTypeOf<
      RequestsInOrder<string, string>
    >();
    const inOrder: RequestsOptions = { maxPending: 10 };
    expectTypeOf(requests(text, inOrder)).toEqualTypeOf<RequestsInOrder<string, string>>();
  });

  test('K21: SocketErrorCode contains the error code of a request that times out', () => {
    expectTypeOf<'ERR_TIMEOUT_REQUEST'>().toExtend<SocketErrorCode>();
  });
});
