import '../support/leaks.js';
import { firstValueFrom } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { realPlaces } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { rawClient } from '../support/sockets/plain-sockets.js';

describe.each(realPlaces)('a server that refuses a PROXY header over $name', (place) => {
  it.each([
    ['a bad header', ['127.0.0.1', 'unix'], 'GET / HTTP/1.1\r\n'],
    ['a header of an untrusted peer', ['192.0.2.1'], 'PROXY UNKNOWN\r\n'],
  ])('S4: reports %s with the address of the peer that sent it', async (_, trusted, sent) => {
    const { server, address } = await serverAt(place, () => undefined, { proxyProtocol: { trusted } });
    const incident = firstValueFrom(server.incidents);
    const peer = await rawClient(address);
    const { localPort } = peer;
    peer.write(sent);
    const own =
      place.name === 'tcp' ? { transport: 'tcp', host: '127.0.0.1', port: localPort } : { transport: 'unix', path: '' };
    expect(await incident).toMatchObject({ code: 'ERR_PROXY_HEADER', address: own });
  });
});
