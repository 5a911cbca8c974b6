import type { Duplex } from 'node:stream';
import { request } from 'node:http';
import { type Channel, connect, type Connection } from 'rxjs-sockets';
import { lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { type SocketStream, toNodeStream } from 'rxjs-sockets/interop';
import { describe, expectTypeOf, it } from 'vitest';

declare const connection: Connection<string, string>;
declare const texts: Channel<string, string>;

describe('toNodeStream', () => {
  it('`toNodeStream` accepts a connection and a client with any codec, and a channel of bytes', () => {
    expectTypeOf(toNodeStream(connection)).toEqualTypeOf<SocketStream>();
    expectTypeOf(toNodeStream(connect('tcp://localhost:1', { codec: lines() }))).toExtend<Duplex>();
    expectTypeOf(toNodeStream(connection.bytes)).toExtend<Duplex>();
    expectTypeOf(toNodeStream(connection.bytes.framed(lengthPrefixed()))).toExtend<Duplex>();
    // @ts-expect-error a Node stream reads bytes
    toNodeStream(texts);
  });

  it('`toNodeStream` returns a stream that node:http accepts', () => {
    const client = connect('tcp://localhost:1');
    expectTypeOf(request).toBeCallableWith({ createConnection: () => toNodeStream(client) });
  });
});
