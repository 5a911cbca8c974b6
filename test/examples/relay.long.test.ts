import { join } from 'node:path';
import { expect, test } from 'vitest';
import { formatAddress } from 'rxjs-sockets';
import { freshFolder, tcp, unix } from '../support/transport/places.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { Caller } from './caller.js';
import { example } from './program.js';

test('the relay example shows how it works, and ends', async () => {
  const relay = example('relay');
  expect(await relay.ended, relay.errors).toBe(0);
  expect(relay.lines).toEqual(['3 words, sorted: apple fig pear']);
});

test('the relay example forwards plain sockets, with the end of each direction, until Ctrl-C', async () => {
  for (const place of [tcp, unix]) {
    const service = await rawServer(place, (socket) => {
      let all = '';
      socket.setEncoding('utf8').on('data', (text: string) => {
        all += text;
      });
      socket.on('end', () => {
        socket.end(all.toUpperCase());
      });
    });
    const relay = example('relay', 'tcp://127.0.0.1:0', formatAddress(service));
    const [, address = ''] = await relay.until(/^passing (\S+) on/m);
    const caller = await Caller.dial(address);
    await caller.say('all that I have to say\n');
    caller.hangUp();
    expect(await caller.hear()).toBe('ALL THAT I HAVE TO SAY');
    expect(await caller.hear()).toBeUndefined();
    expect(await relay.interrupt(), relay.errors).toBe(0);
  }
});

test('the relay example keeps running if its target does not listen', async () => {
  const relay = example('relay', 'tcp://127.0.0.1:0', `unix:${join(await freshFolder(), 'nobody')}`);
  const [, address = ''] = await relay.until(/^passing (\S+) on/m);
  for (let i = 0; i < 3; i++) {
    // The reset can arrive before `connect` is emitted.
    const call = Caller.dial(address).then((caller) => caller.hear());
    await expect(call).rejects.toMatchObject({ code: 'ECONNRESET' });
  }
  expect(await relay.interrupt()).toBe(0);
  expect(relay.errors.match(/^SocketError: /gm)).toHaveLength(3);
});
