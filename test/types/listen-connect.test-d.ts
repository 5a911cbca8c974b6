import { map, type Observable } from 'rxjs';
import {
  type Address,
  type AddressInput,
  type Channel,
  type Client,
  type Closed,
  connect,
  type Connection,
  type ConnectionState,
  type ConnectOptions,
  type Flow,
  listen,
  type ListenOptions,
  parseAddress,
  serve,
  type Server,
  SocketError,
  type SocketErrorCode,
  type StartTlsOptions,
  type TlsInfo,
} from 'rxjs-sockets';
import { type Codec, lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { memoryTransport } from 'rxjs-sockets/testing';
import { describe, expectTypeOf, test } from 'vitest';

type Bytes = Uint8Array | string;
declare const codec: Codec<{ id: number }, { name: string }>;

describe('listen', () => {
  test('S1: without a codec, the connections of a server receive Buffers and send bytes or text', () => {
    expectTypeOf(listen('tcp://localhost:7000')).toEqualTypeOf<Server<Buffer, Bytes>>();
    expectTypeOf(listen({ port: 0 }, { backlog: 5 })).toEqualTypeOf<Server<Buffer, Bytes>>();
  });

  test('S1: `listen` infers from the codec what a connection receives and sends', () => {
    expectTypeOf(listen({ path: '/run/a' }, { codec: lines() })).toEqualTypeOf<Server<string, string>>();
    expectTypeOf(listen({ port: 0 }, { codec: lengthPrefixed() })).toEqualTypeOf<Server<Buffer, Bytes>>();
    expectTypeOf(listen({ port: 0 }, { codec })).toEqualTypeOf<Server<{ id: number }, { name: string }>>();
  });

  test('S5: a Server is a Flow of connections', () => {
    expectTypeOf<Server<string, number>>().toExtend<Flow<Connection<string, number>>>();
    const server = listen({ port: 0 }, { codec });
    server.subscribe((connection) =>
      expectTypeOf(connection).toEqualTypeOf<Connection<{ id: number }, { name: string }>>(),
    );
    server.subscribe(({ data }) => expectTypeOf(data).toEqualTypeOf<Channel<{ id: number }, { name: string }>>());
    server.subscribe(({ bytes }) => expectTypeOf(bytes).toEqualTypeOf<Channel<Buffer, Bytes>>());
    expectTypeOf(server.listening).toEqualTypeOf<Observable<Address>>();
    expectTypeOf(server.incidents).toEqualTypeOf<Observable<SocketError>>();
    expectTypeOf(server.connections).toEqualTypeOf<ReadonlySet<Connection<{ id: number }, { name: string }>>>();
    expectTypeOf(server.shutdown({ deadline: 5 })).toEqualTypeOf<Promise<void>>();
  });

  test('A5: the types of `listen` and `connect` accept neither options of the other function nor unknown options', () => {
    // @ts-expect-error an option of connect
    void listen({ port: 0 }, { connectTimeout: 5 });
    // @ts-expect-error an option of listen
    void connect({ port: 1 }, { backlog: 5 });
    // @ts-expect-error the option is misspelt
    void listen({ port: 0 }, { highWatermark: 5 });
    // @ts-expect-error an unknown policy
    void listen({ port: 0 }, { overflow: 'block' });
    expectTypeOf<ListenOptions>().toEqualTypeOf<ListenOptions<Buffer, Bytes>>();
    expectTypeOf<ConnectOptions>().toEqualTypeOf<ConnectOptions<Buffer, Bytes>>();
    const readonly: Readonly<ListenOptions<string, string>> = { codec: lines(), transport: memoryTransport() };
    expectTypeOf(listen({ port: 0 }, readonly)).toEqualTypeOf<Server<string, string>>();
  });
});

describe('connect', () => {
  test('K1: `connect` infers from the codec what a client receives and sends', () => {
    expectTypeOf(connect('tcp://localhost:7000')).toEqualTypeOf<Client<Buffer, Bytes>>();
    expectTypeOf(connect('tcp://localhost:7000', { codec: lines() })).toEqualTypeOf<Client<string, string>>();
    expectTypeOf(connect({ port: 1 }, { codec }).data).toEqualTypeOf<Channel<{ id: number }, { name: string }>>();
    expectTypeOf<Client<string, string>>().toExtend<Observable<ConnectionState<string, string>>>();
  });

  test('K2: the states are a union that a switch can exhaust', () => {
    const describeState = (state: ConnectionState<string, string>): string => {
      switch (state.status) {
        case 'connecting':
          expectTypeOf(state.address).toEqualTypeOf<Address>();
          return `attempt ${state.attempt}`;
        case 'connected':
          expectTypeOf(state.connection).toEqualTypeOf<Connection<string, string>>();
          return `attempt ${state.attempt}`;
        case 'disconnected':
          expectTypeOf(state.error).toEqualTypeOf<SocketError | undefined>();
          return `attempt ${state.attempt}`;
        case 'waiting':
          expectTypeOf(state.delay).toEqualTypeOf<number>();
          return `attempt ${state.attempt}`;
        default:
          expectTypeOf(state).toBeNever();
          return state;
      }
    };
    expectTypeOf(describeState).returns.toEqualTypeOf<string>();
    // @ts-expect-error only a `connected` state has a connection
    type _None = Extract<ConnectionState, { status: 'connecting' }>['connection'];
  });
});

describe('Connection', () => {
  test('C12: `closed` emits how the connection ended', () => {
    expectTypeOf<Connection['closed']>().toEqualTypeOf<Observable<Closed>>();
    expectTypeOf<Closed['reason']>().toEqualTypeOf<'finished' | 'destroyed' | 'failed'>();
    expectTypeOf<Connection>().toEqualTypeOf<Connection<Buffer, Bytes>>();
    expectTypeOf<Connection['destroy']>().toBeCallableWith('whatever');
    expectTypeOf<Connection['destroy']>().toBeCallableWith();
  });
});

describe('serve', () => {
  const server = listen({ port: 0 }, { codec: lines() });

  test('S6: a handler returns what the connection sends, sends by itself, or does neither', () => {
    expectTypeOf(server.pipe(serve(({ data }) => data.pipe(map((line) => `${line}!`))))).toExtend<Observable<Closed>>();
    void server.pipe(serve(async ({ data }) => data.send('hello')));
    void server.pipe(serve(async () => 'hello', { concurrent: 1 }));
    void server.pipe(serve(({ data }) => ['hello', String(data.closed)]));
    void server.pipe(serve(() => undefined));
    void server.pipe(
      serve(async function* ({ data }) {
        for await (const line of data) yield line;
      }),
    );
  });

  test('S6: a handler may return a source for its connection or nothing, but no other value', () => {
    // @ts-expect-error the codec sends lines of text
    void server.pipe(serve(({ data }) => data.pipe(map((line) => line.length))));
    // @ts-expect-error a number is not a source
    void server.pipe(serve(() => 7));
  });
});

describe('addresses and errors', () => {
  test('A1: an Address is an AddressInput', () => {
    expectTypeOf<Address>().toExtend<AddressInput>();
    expectTypeOf(parseAddress).parameters.toEqualTypeOf<[AddressInput]>();
    expectTypeOf(parseAddress('memory:x')).toEqualTypeOf<Address>();
  });

  test('A5: a value that cannot be an address is not an AddressInput', () => {
    expectTypeOf<number>().not.toExtend<AddressInput>();
    expectTypeOf<{ host: string }>().not.toExtend<AddressInput>();
    expectTypeOf<{ port: string }>().not.toExtend<AddressInput>();
    expectTypeOf<URL>().toExtend<AddressInput>();
  });

  test('C8: a SocketError is an Error, and the type of its code is the union SocketErrorCode', () => {
    const error = new SocketError('ERR_CLOSED', 'over');
    expectTypeOf(error).toExtend<Error>();
    expectTypeOf(error.code).toEqualTypeOf<SocketErrorCode>();
    expectTypeOf(error.address).toEqualTypeOf<Address | undefined>();
    // @ts-expect-error this is not a code
    new SocketError('ERR_WHATEVER', 'over');
  });
});

describe('startTls', () => {
  test('T10: `startTls` accepts the options of a client or a server, or a function that returns the options of a server', () => {
    const start = (connection: Connection, options: StartTlsOptions): Promise<TlsInfo> => connection.startTls(options);
    expectTypeOf<Connection['startTls']>().toEqualTypeOf<(options: StartTlsOptions) => Promise<TlsInfo>>();
    expectTypeOf(start).parameter(1).toEqualTypeOf<StartTlsOptions>();
    const client: StartTlsOptions = { ca: 'pem', servername: 'localhost', session: undefined, handshakeTimeout: 5 };
    const server: StartTlsOptions = { key: 'pem', cert: 'pem', allowHalfClosed: true, handshakeTimeout: 5 };
    const renewed: StartTlsOptions = () => ({ key: 'pem', cert: 'pem' });
    // @ts-expect-error the option is misspelt
    const wrong: StartTlsOptions = { kye: 'pem' };
    expectTypeOf([client, server, renewed, wrong]).toExtend<StartTlsOptions[]>();
  });

  test('T11: connect accepts the session of an earlier connection', () => {
    expectTypeOf<TlsInfo['session']>().toEqualTypeOf<Buffer | undefined>();
    const resume = (info: TlsInfo | undefined): ConnectOptions => ({ tls: { session: info?.session } });
    expectTypeOf(resume).returns.toEqualTypeOf<ConnectOptions>();
  });
});
