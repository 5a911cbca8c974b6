import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import type { Address } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import * as certificates from '../support/transport/node/tls/certificates.js';
import { Haproxy, hasHaproxy, type Relay } from '../support/proxy-protocol/haproxy.js';
import '../support/leaks.js';
import { type Place, tcp, unix } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';

const senders = ['send-proxy', 'send-proxy-v2', 'send-proxy-v2 proxy-v2-options crc32c'];
const cases = [tcp, unix].flatMap((place) => senders.map((sender) => ({ place, sender, at: place.name })));

/** haproxy in front of a server that answers in capitals, and the remote addresses that the server has seen. */
async function chain(place: Place, sender: string, isSecret: boolean): Promise<{ relay: Relay; remotes: Address[] }> {
  const remotes: Address[] = [];
  const { address } = await serverAt<string, string>(
    place,
    ({ data, remote }) => {
      remotes.push(remote);
      data.subscribe({ next: (text) => data.next(text.toUpperCase()), complete: () => data.complete() });
    },
    {
      codec: lines(),
      proxyProtocol: { trusted: ['127.0.0.1', 'unix'] },
      ...(isSecret ? { tls: certificates.server } : {}),
    },
  );
  let to: string;
  if (address.transport === 'tcp') to = `127.0.0.1:${address.port}`;
  else if (address.transport === 'unix') to = `unix@${address.path}`;
  else throw new Error('haproxy does not know this transport');
  const haproxy = await Haproxy.start([{ server: sender, to }]);
  onTestFinished(() => haproxy.stop());
  return { relay: haproxy.relays[0]!, remotes };
}

/** Says hello, and returns the answer and the client's port. */
async function hello(
  where: { host: string; port: number } | { path: string },
  isSecret: boolean,
): Promise<[string, number | undefined]> {
  const raw = net.connect(where);
  onTestFinished(() => void raw.destroy());
  await once(raw, 'connect');
  const { localPort } = raw;
  const socket = isSecret ? tls.connect({ socket: raw, ca: certificates.authority, servername: 'localhost' }) : raw;
  socket.setEncoding('latin1').write('hello\n');
  const [answer] = (await once(socket, 'data')) as [string];
  socket.end();
  return [answer, localPort];
}

describe.skipIf(!hasHaproxy).each(cases)('listen() over $at behind haproxy with $sender', ({ place, sender }) => {
  it.each([false, true])('S2: remote is the client of haproxy (with TLS passed through: %j)', async (isSecret) => {
    const { relay, remotes } = await chain(place, sender, isSecret);
    const [answer, port] = await hello({ host: '127.0.0.1', port: relay.ipV4 }, isSecret);
    expect(answer).toBe('HELLO\n');
    expect(remotes).toStrictEqual([{ transport: 'tcp', host: '127.0.0.1', port }]);
  });

  it('P3: if haproxy names no client, remote is the address of haproxy', async () => {
    const { relay, remotes } = await chain(place, sender, false);
    // Once haproxy serves on one of its sockets, all of them exist.
    await hello({ host: '127.0.0.1', port: relay.ipV4 }, false);
    expect((await hello({ path: relay.path }, false))[0]).toBe('HELLO\n');
    expect(remotes).toHaveLength(2);
    if (place.name === 'unix') expect(remotes[1]).toStrictEqual({ transport: 'unix', path: '' });
    else expect(remotes[1]).toMatchObject({ transport: 'tcp', host: '127.0.0.1' });
  });
});
