import '../../support/leaks.js';
import { firstValueFrom } from 'rxjs';
import * as library from 'rxjs-sockets';
import { backoff } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import * as testing from 'rxjs-sockets/testing';
import {
  type FaultDirection,
  type FaultKind,
  type FaultRange,
  type Faults,
  type Faulty,
  type FaultyOptions,
  memoryTransport,
  type InjectedFault,
} from 'rxjs-sockets/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { network } from '../../support/transport/memory/memory-network.js';
import { record } from '../../support/recording/record.js';
import { until } from '../../support/scheduling/event-loop.js';

describe('the examples of faulty', () => {
  it('show how to set faults', () => {
    const milliseconds: FaultRange = [5, 50];
    const direction: FaultDirection = 'up';
    const kind: FaultKind = 'blackHole';
    const bad: Faults = { latency: [5, 50], slices: [1, 10], resetAfter: [0, 100_000] };
    const options: FaultyOptions = { seed: 7, up: { slices: 1 }, down: { latency: [0, 20], cutEvery: 1_000 } };
    const strike: InjectedFault = { fault: 'reset', connection: 2, direction: 'down', at: 1_432 };
    expect([milliseconds, direction, kind, bad, options, strike]).toHaveLength(6);
  });

  it('show a client that gets everything despite resets', async () => {
    const transport = memoryTransport();
    const connect: typeof library.connect = (address, options) => library.connect(address, { transport, ...options });
    const faulty = (target: string, options: FaultyOptions): Faulty =>
      testing.faulty(target, { transport, ...options });
    const server = library.listen('tcp://localhost:7000', { transport, codec: lines() });
    onTestFinished(() => server.shutdown());
    server.subscribe(({ data }) => data.subscribe({ next: (line) => data.next(line), error: () => undefined }));

    const proxy = faulty('tcp://localhost:7000', { seed: 7, up: { slices: 1 }, down: { resetAfter: [1, 10_000] } });
    const client = connect(await firstValueFrom(proxy.listening), { reconnect: backoff() });
    const states = record(client);
    const received = record(client.data);
    while (proxy.strikes.every(({ fault }) => fault !== 'reset')) {
      client.data.next(`${'x'.repeat(999)}\n`);
      const { length } = received.values;
      await until(() => received.values.length > length || proxy.strikes.some(({ fault }) => fault === 'reset'));
    }
    await until(() => states.values.some(({ status }) => status === 'waiting'));
    const address = await firstValueFrom(proxy.listening);
    expect(address.transport).toBe('tcp');
    states.subscription.unsubscribe();
    received.subscription.unsubscribe();
    await proxy.shutdown();
  });

  it('include a model of the proxy', async () => {
    const { listen, connect } = network();
    const [address, target] = ['memory:near', 'memory:far'];
    listen(target).subscribe(({ data }) => data.subscribe(data));
    listen(address).subscribe((near) => {
      const far = connect(target, { halfOpen: true });
      far.data.subscribe(near.bytes); // at the pace of the slower one, with its FIN
      near.bytes.subscribe(far.data);
    });
    const { data } = connect(address, { codec: lines() });
    data.next('hello');
    data.complete();
    const heard = record(data);
    expect(await heard.end()).toBe('complete');
    expect(heard.values).toEqual(['hello']);
  });
});
