// User code for every supported version of TypeScript. It is only compiled.
import type { Duplex } from 'node:stream';
import { map, type Observable, retry } from 'rxjs';
import {
  type Address,
  backoff,
  Broadcast,
  type Channel,
  type Client,
  type Closed,
  concatMapPaced,
  connect,
  type Connection,
  type ConnectionState,
  type Flow,
  formatAddress,
  listen,
  mergeMapPaced,
  parseAddress,
  relay,
  sendTo,
  serve,
  type Server,
  SocketError,
  type SocketErrorCode,
} from 'rxjs-sockets';
import { type Codec, jsonLines, lengthPrefixed, lines, mapCodec } from 'rxjs-sockets/codecs';
import { fromNodeStream, fromWebStreams, toNodeStream, toWebStreams } from 'rxjs-sockets/interop';
import { faulty, memoryTransport, verifyCodec } from 'rxjs-sockets/testing';

interface Request {
  readonly add: readonly number[];
}

const client = connect('tcp://localhost:7000', { codec: lines(), reconnect: backoff({ max: 5_000 }) });
const lengths: Flow<number> = client.data.pipe(map((line) => line.length));
client.data.next('text');
// @ts-expect-error a channel of lines sends no numbers
client.data.next(1);

const server: Server<Request, Request> = listen({ port: 0 }, { codec: jsonLines<Request>(), reusePort: false });
const ended: Observable<Closed> = server.pipe(serve(({ data }) => data.pipe(map(({ add }) => ({ add: [...add, 1] })))));
const echoes = server.pipe(mergeMapPaced(({ data }) => data.pipe(concatMapPaced((request) => [request])), 100));
const clock = new Broadcast(lines());
const names = server.pipe(map(({ remote }: { remote: Address }) => formatAddress(remote)));

const dates: Codec<Date> = mapCodec(
  lines(),
  (line) => new Date(line),
  (date: Date) => date.toISOString(),
);
verifyCodec(dates, [new Date(0)]);

const explain = (code: SocketErrorCode): string => (code === 'ECONNREFUSED' ? 'nobody listens' : code);
const onState = (state: ConnectionState<string, string>): string => {
  switch (state.status) {
    case 'connected':
      return formatAddress(state.connection.remote);
    case 'connecting':
      return `attempt ${state.attempt}`;
    case 'disconnected':
    case 'waiting':
      return state.error === undefined ? 'in order' : explain(state.error.code);
  }
};
const states: Observable<string> = client.pipe(map(onState), retry(backoff()));

async function iterate(connection: Connection<string, string>): Promise<void> {
  for await (const line of connection.data) await connection.data.send(line.toUpperCase());
  try {
    await connection.close();
  } catch (error) {
    if (error instanceof SocketError) console.error(error.code, error.address);
  }
}

const inMemory: Client = connect('memory:test', { transport: memoryTransport() });
const frame = ({ bytes }: Connection<Buffer, string>): Flow<Buffer> =>
  bytes.framed(lengthPrefixed({ maxLength: 1_000 }));

const asNode: Duplex = toNodeStream(inMemory);
const fromNode: Channel<Buffer, Uint8Array | string> = fromNodeStream(asNode);
const { readable, writable } = toWebStreams(fromNode);
const fromWeb: Channel<Buffer, Uint8Array | string> = fromWebStreams({ readable, writable });

export const used = [
  fromWeb,
  lengths,
  ended,
  echoes,
  clock,
  states,
  iterate,
  names,
  inMemory,
  frame,
  parseAddress,
  relay,
  sendTo,
  faulty,
];
