import '../../support/leaks.js';
import {
  type Address,
  connect,
  type DialEvents,
  type DialOptions,
  formatAddress,
  type Listener,
  type ListenerEvents,
  listen,
  type ListenerOptions,
  nodeTransport,
  SocketError,
  type SocketEvents,
  type SocketOptions,
  type Transport,
  type TransportSocket,
  FlushScheduler,
} from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { memoryTransport } from 'rxjs-sockets/testing';
import { describe, expect, it } from 'vitest';
import { recordingConsole } from '../../support/recording/recording-console.js';
import { record } from '../../support/recording/record.js';
import { turns } from '../../support/scheduling/event-loop.js';

const scheduler = new FlushScheduler(queueMicrotask);

class EchoSocket implements TransportSocket {
  readonly local: Address = { transport: 'memory', name: 'echo' };
  readonly remote: Address = this.local;
  readonly scheduler = scheduler;
  readonly tls = undefined;
  readonly unsent = 0;
  private events: SocketEvents | undefined;

  open(events: SocketEvents): void {
    this.events = events;
  }
  write(data: Uint8Array | string, encoding: 'utf8' | 'latin1'): boolean {
    const echo = typeof data === 'string' ? Buffer.from(data, encoding) : Buffer.from(data);
    queueMicrotask(() => this.events?.onData(echo));
    return true;
  }
  writeAll(pieces: readonly Uint8Array[]): boolean {
    return this.write(Buffer.concat(pieces), 'latin1');
  }
  end(): void {
    queueMicrotask(() => this.events?.onEnd());
    this.reset();
  }
  reset(): void {
    queueMicrotask(() => this.events?.onClose(undefined));
  }
  pause(): void {} // it has no peer that could be made to wait
  resume(): void {}
}

const options = {
  backlog: 1,
  mode: 0o600,
  stale: 'replace',
  reusePort: false,
  tls: undefined,
  proxyProtocol: undefined,
  handshakeTimeout: 0,
  maxConnections: 1,
  noDelay: true,
  keepAlive: 0,
  localAddress: undefined,
  localPort: 0,
  family: undefined,
} satisfies ListenerOptions & DialOptions;

/** Handlers for the events of a listener and of a dial. They only record these events. */
function recorded(): { events: ListenerEvents & DialEvents; written: unknown[]; sockets: TransportSocket[] } {
  const written: unknown[] = [];
  const sockets: TransportSocket[] = [];
  const take = (name: string) => (socket: TransportSocket) => {
    written.push(name);
    sockets.push(socket);
  };
  const events = {
    onListening: () => void written.push('listening'),
    onConnection: take('connection'),
    onConnect: take('connected'),
    onError: (error: SocketError) => void written.push(error.code),
    onIncident: (error: SocketError) => void written.push(error.code),
  };
  return { events, written, sockets };
}

describe('the examples of Transport show how to', () => {
  it('wrap another transport', async () => {
    const dialled: string[] = [];
    const network = memoryTransport();
    const watched: Transport = {
      checkListen: (address, options) => network.checkListen(address, options),
      checkConnect: (address, options) => network.checkConnect(address, options),
      listen: (address, options, events) => network.listen(address, options, events),
      connect(address, options, events) {
        dialled.push(formatAddress(address));
        return network.connect(address, options, events);
      },
    };
    await record(connect('memory:nobody', { transport: watched })).end();
    expect(dialled).toEqual(['memory:nobody']);
  });

  it('write a transport that echoes', async () => {
    const transport: Transport = {
      checkListen: () => undefined,
      checkConnect: () => undefined,
      listen: (_address, _options, events) => {
        queueMicrotask(() => events.onError(new SocketError('EACCES', 'it is for dialling only')));
        return { hold: () => undefined, release: () => undefined, close: () => undefined };
      },
      connect: (_address, _options, events) => {
        queueMicrotask(() => events.onConnect(new EchoSocket()));
        return { abort: () => undefined };
      },
    };
    const client = connect('memory:echo', { transport, codec: lines() });
    const received = record(client.data);
    client.data.next('hello');
    client.data.next('again');
    expect(await received.count(2)).toEqual(['hello', 'again']);
    client.data.complete();
    expect(await received.end()).toBe('complete');
  });

  it('listen and dial', async () => {
    const transport = memoryTransport();
    const { events, written } = recorded();
    transport.checkListen({ transport: 'memory', name: 'echo' }, options);
    transport.checkConnect({ transport: 'memory', name: 'echo' }, options);
    const listener = transport.listen({ transport: 'memory', name: 'echo' }, options, events);
    const dial = transport.connect({ transport: 'memory', name: 'echo' }, options, events);
    dial.abort();
    await turns(2);
    expect(written).toEqual(['listening']);
    await listener.close();
  });

  it('hold a listener', async () => {
    const transport = memoryTransport();
    const { events, written, sockets } = recorded();
    const listener = transport.listen({ transport: 'memory', name: 'echo' }, options, events);
    listener.hold();
    transport.connect({ transport: 'memory', name: 'echo' }, options, events);
    await turns(2);
    expect(written).toEqual(['listening', 'connected']);
    listener.release();
    await turns(2);
    expect(written).toEqual(['listening', 'connected', 'connection']);
    for (const socket of sockets) socket.reset();
    await listener.close();
  });

  it('close a listener', async () => {
    const transport = memoryTransport();
    const { events, written } = recorded();
    const listener: Listener = await (async () => {
      const listener = transport.listen({ transport: 'memory', name: 'echo' }, options, events);
      await listener.close();
      return listener;
    })();
    await turns(2);
    expect(written).toEqual([]);
    await listener.close();
  });

  it('abort a dial', async () => {
    const transport = memoryTransport();
    const { events, written } = recorded();
    const dial = transport.connect({ transport: 'memory', name: 'echo' }, options, events);
    dial.abort();
    await turns(2);
    expect(written).toEqual([]);
  });

  it('report the events of a listener', () => {
    const { events, written, sockets } = recorded();
    const socket = new EchoSocket();
    events.onListening({ transport: 'tcp', host: '127.0.0.1', port: 7000 });
    events.onConnection(socket);
    events.onError(new SocketError('EADDRINUSE', 'somebody listens there'));
    events.onIncident(new SocketError('ECONNABORTED', 'the client has left'));
    expect(written).toEqual(['listening', 'connection', 'EADDRINUSE', 'ECONNABORTED']);
    expect(sockets).toEqual([socket]);
  });

  it('report the events of a dial', () => {
    const { events, written } = recorded();
    const socket = new EchoSocket();
    events.onConnect(socket);
    events.onError(new SocketError('ECONNREFUSED', 'nobody listens there'));
    expect(written).toEqual(['connected', 'ECONNREFUSED']);
  });

  it('handle the events of a listener', async () => {
    const console = recordingConsole();
    const transport = memoryTransport();
    const events: ListenerEvents = {
      onListening: (address) => console.log(`at ${formatAddress(address)}`),
      onConnection: (socket) => socket.reset(),
      onError: (error) => console.log(error.code),
      onIncident: (error) => console.log(error.code),
    };
    const listener = transport.listen({ transport: 'memory', name: 'echo' }, options, events);
    await record(connect('memory:echo', { transport })).end();
    expect(console.written).toEqual(['at memory:echo']);
    await listener.close();
  });

  it('handle the events of a dial', async () => {
    const console = recordingConsole();
    const events: DialEvents = {
      onConnect: (socket) => socket.reset(),
      onError: (error) => console.log(error.code),
    };
    memoryTransport().connect({ transport: 'memory', name: 'nobody' }, options, events);
    await turns(2);
    expect(console.written).toEqual(['ECONNREFUSED']);
  });

  it('set options', () => {
    const listening = (): ListenerOptions => {
      const options: ListenerOptions = {
        backlog: 4_096,
        mode: 0o600,
        stale: 'replace',
        reusePort: false,
        tls: undefined,
        proxyProtocol: undefined,
        handshakeTimeout: 10_000,
        maxConnections: 10_000,
        noDelay: true,
        keepAlive: 60_000,
      };
      return options;
    };
    const dialling = (): DialOptions => {
      const options: DialOptions = {
        localAddress: '192.0.2.1',
        localPort: 0,
        family: undefined,
        tls: undefined,
        noDelay: true,
        keepAlive: 0,
      };
      return options;
    };
    const either = (): SocketOptions => {
      const options: SocketOptions = { noDelay: true, keepAlive: 60_000 };
      return options;
    };
    expect([listening(), dialling(), either()].map(({ noDelay }) => noDelay)).toEqual([true, true, true]);
  });

  it("use only Node's public API", () => {
    const transport = nodeTransport({ internals: false });
    const server = listen('tcp://localhost:7000', { codec: lines(), transport });
    const client = connect('tcp://localhost:7000', { codec: lines(), transport });
    expect(server.connections.size).toBe(0);
    expect(client.data.bufferedBytes).toBe(0);
    expect(nodeTransport({ internals: false })).toBe(transport);
    expect(nodeTransport()).toBe(nodeTransport({ internals: true }));
    expect(nodeTransport()).not.toBe(transport);
    expect(() => nodeTransport({ internals: 'no' as never })).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION_INVALID' }) as Error,
    );
  });

  it('use a socket', async () => {
    const console = recordingConsole();
    const socket = new EchoSocket();
    const events: SocketEvents = {
      onData: (chunk) => console.log(chunk.toString()),
      onEnd: () => socket.end(),
      onDrain: () => console.log('more can be written'),
      onClose: (error) => console.log(error?.code ?? 'in order'),
    };
    socket.open(events);
    if (!socket.write('hello\n', 'utf8')) console.log('the kernel is full');
    socket.writeAll([Buffer.from('hello'), Buffer.from('\n')]);
    socket.pause();
    socket.resume();
    await turns(1);
    expect(console.written).toEqual(['hello\n', 'hello\n']);
    socket.reset();
    await turns(1);
    expect(console.written).toEqual(['hello\n', 'hello\n', 'in order']);
  });

  it('start TLS on a socket', () => {
    const console = recordingConsole();
    const authority = 'a certificate';
    const secure = (socket: TransportSocket): void => {
      const start = socket.startTls?.({ ca: authority });
      start?.(() => console.log(socket.tls?.protocol));
    };
    secure(new EchoSocket());
    expect(console.written).toEqual([]);
  });

  it('drop a socket', async () => {
    const log: string[] = [];
    const socket: TransportSocket = Object.assign(new EchoSocket(), { drop: () => log.push('dropped') });
    socket.drop?.();
    expect(log).toEqual(['dropped']);
  });

  it('end a socket', async () => {
    const log: string[] = [];
    const socket = new EchoSocket();
    const events: SocketEvents = {
      onData: (chunk) => log.push(chunk.toString()),
      onEnd: () => log.push('finished'),
      onDrain: () => log.push('taken'),
      onClose: () => log.push('gone'),
    };
    socket.open(events);
    socket.end();
    await turns(1);
    expect(log).toEqual(['finished', 'gone']);
    events.onData(Buffer.from('hello\n'));
    events.onEnd();
    events.onDrain();
    events.onClose(undefined);
    expect(log).toEqual(['finished', 'gone', 'hello\n', 'finished', 'taken', 'gone']);
  });

  it('collect the work of a turn', async () => {
    const turns = (): FlushScheduler[] => {
      const early = (): FlushScheduler => {
        const scheduler = new FlushScheduler(queueMicrotask);
        return scheduler;
      };
      const late = (): FlushScheduler => {
        const scheduler = new FlushScheduler((work) => process.nextTick(work));
        return scheduler;
      };
      return [early(), late()];
    };
    const done: number[] = [];
    turns().forEach((turn, index) => turn.defer(() => done.push(index)));
    expect(done).toEqual([]);
    await new Promise(setImmediate);
    expect(done.sort()).toEqual([0, 1]);
  });
});
