import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Address } from '../../src/address/address.js';
import { namedVersion1, namedVersion2, version2 } from '../support/proxy-protocol/arbitrary-header.js';
import { Haproxy, hasHaproxy, hasIPv6, type Relay, type Relayed } from '../support/proxy-protocol/haproxy.js';
import { outcomeOf, singles } from '../support/proxy-protocol/parse-outcome.js';

const everything = 'proxy-v2-options crc32c,unique-id,ssl,cert-cn,cert-key,cert-sig,ssl-cipher';
const senders = ['send-proxy', 'send-proxy-v2', `send-proxy-v2 ${everything}`];
const payload = Buffer.from('\r\n\r\nhello');

describe.each(senders)('haproxy with %s', (server) => {
  let haproxy: Haproxy | undefined;
  let plain: Relay;
  let chained: Relay;
  let checking: Relay;

  beforeAll(async () => {
    if (!hasHaproxy) return;
    haproxy = await Haproxy.start([
      { server },
      { server, bind: 'accept-proxy' },
      { server: `${server} check inter 1h` }, // haproxy would check a second server later
    ]);
    [plain, chained, checking] = haproxy.relays as [Relay, Relay, Relay];
  });

  afterAll(async () => haproxy?.stop());

  const test = (name: string, body: () => Promise<void>, isPossible = true, reason = ''): void =>
    it(name, async ({ skip }) => {
      skip(!hasHaproxy, 'haproxy is not installed: scripts/install-peers.sh');
      skip(!isPossible, reason);
      await body();
    });

  test('S2: names a client over IPv4', async () => {
    const result = await plain.relayed({ host: '127.0.0.1', port: plain.ipV4 }, payload);
    expect(clientOf(result)).toStrictEqual({ transport: 'tcp', host: '127.0.0.1', port: result?.port });
  });

  test(
    'S2: names a client over IPv4 on a dual-stack socket',
    async () => {
      const result = await plain.relayed({ host: '127.0.0.1', port: plain.dual }, payload);
      expect(clientOf(result)).toStrictEqual({ transport: 'tcp', host: '127.0.0.1', port: result?.port });
    },
    hasIPv6,
    'there is no IPv6 here',
  );

  test(
    'S2: names a client over IPv6',
    async () => {
      const result = await plain.relayed({ host: '::1', port: plain.dual }, payload);
      expect(clientOf(result)).toStrictEqual({ transport: 'tcp', host: '::1', port: result?.port });
    },
    hasIPv6,
    'there is no IPv6 here',
  );

  test('S2: names no client that connects over a unix socket', async () => {
    expect(clientOf(await plain.relayed({ path: plain.path }, payload))).toBe(undefined);
  });

  test('S2: names itself, or no client, when it checks the health of the server', async () => {
    const check = await checking.checked();
    const outcome = outcomeOf([check]);
    if (typeof outcome === 'string') expect.unreachable(`${outcome}: ${check.toString('hex')}`);
    expect(outcome.length).toBe(check.length);
    if (server === 'send-proxy') expect(outcome.remote).toMatchObject({ transport: 'tcp', host: '127.0.0.1' });
    else expect(outcome.remote).toBe(undefined);
  });

  test('S2: forwards the client address named in a received header', async () => {
    const where = { host: '127.0.0.1', port: chained.ipV4 };
    // haproxy accepts no header that names a unix socket.
    const named = fc.oneof(namedVersion1(), namedVersion2()).filter(({ remote }) => remote?.transport === 'tcp');
    for (const { bytes, remote } of fc.sample(named, 50)) {
      const result = await chained.relayed(where, Buffer.concat([bytes, payload]));
      expect(clientOf(result), bytes.toString('hex')).toStrictEqual(remote);
    }
  });

  test('S2: refuses the headers that this library refuses', async () => {
    const where = { host: '127.0.0.1', port: chained.ipV4 };
    for (const header of [
      Buffer.from('PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n'),
      Buffer.from('PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n'),
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      version2({ command: 0x11 }),
      version2({ command: 0x22 }),
      version2({ addresses: Buffer.alloc(11) }),
      version2({ triples: [Buffer.of(1, 0, 9, 1)] }),
      version2({ triples: [Buffer.of(3, 0, 4, 1, 2, 3, 4)] }),
    ]) {
      expect(outcomeOf([header])).toBe('ERR_PROXY_HEADER');
      expect(await chained.relayed(where, Buffer.concat([header, payload])), header.toString('latin1')).toBe(undefined);
    }
  });
});

/**
 * The client that haproxy's header names. Parses the header twice, in one piece and byte by byte, and checks that the
 * payload follows the header.
 */
function clientOf(relayed: Relayed | undefined): Address | undefined {
  if (relayed === undefined) throw new Error('haproxy has dropped the connection');
  const { bytes } = relayed;
  const outcome = outcomeOf([bytes]);
  if (typeof outcome === 'string') throw new Error(`${outcome}: ${bytes.toString('hex')}`);
  expect(outcomeOf(singles(bytes))).toStrictEqual(outcome);
  expect(bytes.subarray(outcome.length).toString('latin1')).toBe(payload.toString('latin1'));
  return outcome.remote;
}
