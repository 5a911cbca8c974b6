import { connect, type Client, type Connection, listen, type Server } from 'rxjs-sockets';
import { type Codec, jsonLines } from 'rxjs-sockets/codecs';
import { describe, expectTypeOf, test } from 'vitest';

type Bytes = Uint8Array | string;

interface Question {
  readonly ask: string;
}
interface Answer {
  readonly say: number;
}

describe('jsonLines', () => {
  test('D2: with one type argument, the codec emits what it accepts', () => {
    expectTypeOf(jsonLines<Question>()).toEqualTypeOf<Codec<Question, Question>>();
    expectTypeOf(jsonLines()).toEqualTypeOf<Codec<unknown, unknown>>();
  });

  test('D2: with two type arguments, the codec can emit a different type than it accepts', () => {
    expectTypeOf(jsonLines<Answer, Question>({ maxLength: 5 })).toEqualTypeOf<Codec<Answer, Question>>();
    const codec: Codec<Answer, Question> = jsonLines();
    expectTypeOf(connect({ port: 1 }, { codec })).toEqualTypeOf<Client<Answer, Question>>();
    const client = connect({ port: 1 }, { codec: jsonLines<Answer, Question>() });
    expectTypeOf(client).toEqualTypeOf<Client<Answer, Question>>();
    client.data.subscribe((answer) => expectTypeOf(answer).toEqualTypeOf<Answer>());
    client.data.next({ ask: 'how many?' });
    // @ts-expect-error the client receives values of this type and does not send them
    client.data.next({ say: 7 });
    expectTypeOf(listen({ port: 0 }, { codec: jsonLines<Question, Answer>() })).toEqualTypeOf<
      Server<Question, Answer>
    >();
  });
});

describe('types without type arguments', () => {
  test('K1: Client is the type that connect returns without a codec', () => {
    expectTypeOf<Client>().toEqualTypeOf<Client<Buffer, Bytes>>();
    expectTypeOf<Client<string>>().toEqualTypeOf<Client<string, Bytes>>();
    expectTypeOf(connect({ port: 1 })).toEqualTypeOf<Client>();
    expectTypeOf(connect<string>({ port: 1 })).toEqualTypeOf<Client<string>>();
  });

  test('S1: Server is the type that listen returns without a codec', () => {
    expectTypeOf<Server>().toEqualTypeOf<Server<Buffer, Bytes>>();
    expectTypeOf(listen({ port: 0 })).toEqualTypeOf<Server>();
    expectTypeOf(listen({ port: 0 }).connections).toEqualTypeOf<ReadonlySet<Connection>>();
  });
});
