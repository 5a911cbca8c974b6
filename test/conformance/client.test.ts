import { firstValueFrom, lastValueFrom, map, toArray } from 'rxjs';
import type { Client, Connection } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { settled } from '../support/scheduling/event-loop.js';
import { places, named } from '../support/transport/places.js';
import { Recording } from '../support/recording/record.js';
import { dialler, watch } from '../support/client/watched-client.js';
import { until } from '../support/scheduling/event-loop.js';
import { accepting, echo, statuses, whenConnected } from '../support/client/dialled-servers.js';

describe.each(named(places))('a client on %s', (_name, place) => {
  const dial = dialler(place);

  it('K1: a client dials nothing before it has a subscriber', async () => {
    const { address, accepted } = await accepting(place);
    const client = dial(address);
    client.data.next('early');
    client.data.writable.subscribe();
    client.data.hold().release();
    void client.pipe(map(({ status }) => status));
    await settled();
    expect(accepted).toEqual([]);
    expect(client.data.closed).toBe(false);
    expect(client.data.bufferedBytes).toBe(5);
  });

  it.each([
    ['its states', (client: Client<Buffer, string>) => client.subscribe()],
    ['its data', (client: Client<Buffer, string>) => client.data.subscribe()],
  ])('K1: a client dials when you subscribe to %s, and hangs up when you unsubscribe', async (_what, subscribe) => {
    const { address, accepted } = await accepting(place);
    const client = dial<Buffer, string>(address);
    const subscription = subscribe(client);
    await until(() => accepted.length === 1);
    client.data.next('all of it');
    subscription.unsubscribe();
    const received = await firstValueFrom((accepted[0] as Connection).bytes.pipe(toArray()));
    expect(Buffer.concat(received).toString()).toBe('all of it');
  });

  it('K1: all subscribers of a client share one connection', async () => {
    const { address, accepted } = await accepting(place, (connection) => echo(connection));
    const client = dial(address, { codec: lines() });
    const states = [watch(client), watch(client)];
    const data = [new Recording(client.data), new Recording(client.data)];
    client.data.next('one');
    for (const recording of data) expect(await recording.count(1)).toEqual(['one']);
    const late = watch(client);
    client.data.next('two');
    for (const recording of data) expect(await recording.count(2)).toEqual(['one', 'two']);
    expect(accepted).toHaveLength(1);
    for (const recording of states) expect(statuses(recording)).toEqual(['connecting', 'connected']);
    expect(statuses(late)).toEqual(['connected']);
    expect(late.values[0]).toBe(states[0]?.values[1]);
    for (const recording of data) recording.subscription.unsubscribe();
  });

  it('K1: a client closes its connection only when the last subscriber leaves', async () => {
    const { address, accepted } = await accepting(place, (connection) => echo(connection));
    const client = dial(address, { codec: lines() });
    const watching = client.subscribe();
    const reading = client.data.subscribe();
    await until(() => accepted.length === 1);
    const end = firstValueFrom((accepted[0] as Connection).closed);
    watching.unsubscribe();
    client.data.next('still there');
    expect(await firstValueFrom(client.data)).toBe('still there');
    const again = client.subscribe();
    reading.unsubscribe();
    client.data.next('here too');
    expect(await firstValueFrom(client.data)).toBe('here too');
    expect(accepted).toHaveLength(1);
    again.unsubscribe();
    expect(await end).toMatchObject({ reason: 'finished' });
  });

  it('C2: values sent before the connection opens go out first, in order', async () => {
    const { address, accepted } = await accepting(place);
    const client = dial<string>(address, { codec: lines() });
    client.data.next('before');
    const subscription = client.subscribe(({ status }) => client.data.next(status));
    client.data.next('meanwhile');
    await until(() => accepted.length === 1);
    await whenConnected(client);
    client.data.next('after');
    client.data.complete();
    const received = await firstValueFrom((accepted[0] as Connection).bytes.pipe(toArray()));
    expect(Buffer.concat(received).toString()).toBe('before\nconnecting\nmeanwhile\nconnected\nafter\n');
    (accepted[0] as Connection).bytes.complete();
    subscription.unsubscribe();
  });

  it('C2: if `complete()` was called before the first subscription, the queued values are sent, then the FIN', async () => {
    const { address, accepted } = await accepting(place);
    const client = dial(address);
    client.data.next('all there is');
    client.data.complete();
    const recording = watch(client);
    await until(() => accepted.length === 1);
    const [connection] = accepted as [Connection];
    expect(Buffer.concat(await firstValueFrom(connection.bytes.pipe(toArray()))).toString()).toBe('all there is');
    connection.bytes.complete();
    expect(await recording.end()).toBe('complete');
  });

  it('K9: on a connecting client, `send` resolves when the client is connected', async () => {
    const { address } = await accepting(place);
    const client = dial(address);
    const order: string[] = [];
    const watching = client.subscribe(({ status }) => order.push(status));
    await client.data.send('x').then(() => order.push('sent'));
    expect(order).toEqual(['connecting', 'connected', 'sent']);
    watching.unsubscribe();
  });

  it('K9: `send` resolves immediately while the client has no subscriber', async () => {
    const { address } = await accepting(place, echo);
    const client = dial(address, { codec: lines() });
    await client.data.send('waits');
    expect(client.data.bufferedBytes).toBe(6);
    expect(await firstValueFrom(client.data)).toBe('waits');
  });

  it.each([
    ["the client's data", (client: Client<Buffer, string>) => client.data.subscribe()],
    ["the client's states", (client: Client<Buffer, string>) => client.subscribe()],
  ])("C7: with halfOpen and a subscriber to %s, you can send after the server's FIN", async (_what, subscribe) => {
    const { address, accepted } = await accepting(place, (connection) => connection.bytes.complete());
    const client = dial<Buffer, string>(address, { halfOpen: true });
    const ended = firstValueFrom(client.data, { defaultValue: 'complete' });
    const subscription = subscribe(client);
    expect(await ended).toBe('complete');
    await settled();
    expect(client.data.closed).toBe(false);
    await client.data.send('still ');
    client.data.next('there');
    client.data.complete();
    const received = await firstValueFrom((accepted[0] as Connection).bytes.pipe(toArray()));
    expect(Buffer.concat(received).toString()).toBe('still there');
    subscription.unsubscribe();
  });

  it('C5: when the last subscriber of a client leaves, `sendFrom` on the `data` of the client fails with ERR_CLOSED', async () => {
    const { address } = await accepting(place);
    const client = dial(address);
    const watching = client.subscribe();
    const sending = lastValueFrom(client.data.sendFrom(new Promise<string>(() => undefined)), { defaultValue: 0 });
    await whenConnected(client);
    watching.unsubscribe();
    await expect(sending).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });
});
