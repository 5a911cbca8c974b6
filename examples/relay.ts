/**
 * A proxy: it passes data between a client and a server, at the pace of the slower side, until both directions have
 * ended.
 *
 *     npx tsx --conditions=rxjs-sockets-source examples/relay.ts
 *         runs a demonstration
 *     npx tsx --conditions=rxjs-sockets-source examples/relay.ts tcp://localhost:7001 unix:/run/app.sock
 *         listens at the first address, and connects each client to the second address, until Ctrl-C
 */
import { firstValueFrom, map, toArray } from 'rxjs';
import { type AddressInput, connect, formatAddress, listen, relay, type Server } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';

function startProxy(from: AddressInput, to: AddressInput): Server {
  // #region proxy
  const proxy = listen(from);
  proxy.subscribe(({ data }) => relay(data, connect(to, { halfOpen: true }).data).subscribe({ error: report }));
  // #endregion
  return proxy;
}

/** Reports that one side of a relay has failed. At this time, `relay` has already aborted the other side. */
function report(error: unknown): void {
  console.error(String(error));
}

const [from, to] = process.argv.slice(2);
if (from !== undefined && to !== undefined) {
  const proxy = startProxy(from, to);
  proxy.listening.subscribe((address) => {
    console.log(`passing ${formatAddress(address)} on to ${to}`);
  });
  process.once('SIGINT', () => {
    void proxy.shutdown();
  });
} else {
  await show();
}

/** Demonstrates half-close: the service answers only after the client has ended the direction to the service. */
async function show(): Promise<void> {
  const service = listen({ port: 0 }, { codec: lines() });
  service.subscribe(({ data }) => data.pipe(toArray(), map(sorted)).subscribe(data));
  const proxy = startProxy({ port: 0 }, await firstValueFrom(service.listening));

  const client = connect(await firstValueFrom(proxy.listening), { codec: lines() });
  for (const word of ['pear', 'apple', 'fig']) client.data.next(word);
  client.data.complete();
  for await (const line of client.data) console.log(line);

  await Promise.all([proxy.shutdown(), service.shutdown()]);
}

function sorted(words: string[]): string {
  return `${words.length} words, sorted: ${words.sort().join(' ')}`;
}
