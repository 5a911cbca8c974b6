import { firstValueFrom } from 'rxjs';
import { backoff, connect, type ConnectOptions, type ListenOptions, SocketError } from 'rxjs-sockets';
import { type ByteQueue, type Codec, type Decoder, lines, mapCodec } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { allRealPlaces, type Place, realPlaces } from '../support/transport/places.js';
import { acceptedAt, dialledAt } from '../support/connection/connected-pairs.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { abort, readAll } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { turns } from '../support/scheduling/event-loop.js';

type Options = ListenOptions<string, string> & ConnectOptions<string, string>;

/**
 * A codec of lines. A line with only a dot ends a mail. At the end of the stream, the decoder calls `end` with the
 * lines of the unfinished mail.
 */
function mails(end: (open: readonly string[]) => string | undefined, counts = { ends: 0 }): Codec<string> {
  return {
    decoder: () => {
      const decoder = lines().decoder();
      let open: string[] = [];
      return {
        decode(bytes) {
          const line = decoder.decode(bytes);
          if (line !== undefined) open = line === '.' ? [] : [...open, line];
          return line;
        },
        end() {
          counts.ends++;
          return end(open);
        },
      };
    },
    encoder: () => lines().encoder(),
  };
}

const truncated = (open: readonly string[]): undefined => {
  if (open.length > 0) throw new SocketError('ERR_FRAME_TRUNCATED', `inside a mail, after ${open.length} lines`);
};

/**
 * A codec whose decoder takes all bytes out of the queue as soon as they arrive. The decoder returns the text before
 * each comma, and at the end of the stream, the text after the last comma.
 */
function hoarding(): Codec<string> {
  return {
    decoder: () => {
      let text = '';
      return {
        decode(bytes) {
          text += bytes.take(bytes.length).toString();
          const [first = '', ...rest] = text.split(',');
          if (rest.length === 0) return undefined;
          text = rest.join(',');
          return first;
        },
        end() {
          const rest = text;
          text = '';
          return rest === '' ? undefined : `rest: ${rest}`;
        },
      };
    },
    encoder: () => lines().encoder(),
  };
}

function appending(...last: string[]): Codec<string> {
  return {
    decoder: (): Decoder<string> => {
      const decoder = lines().decoder();
      const left = [...last];
      return { decode: (bytes) => decoder.decode(bytes), end: () => left.shift() };
    },
    encoder: () => lines().encoder(),
  };
}

const isSecure = ({ options }: Place): boolean => options.tls !== undefined;

const roles = [['accepted', acceptedAt] as const, ['dialled', dialledAt] as const].flatMap(([role, make]) =>
  allRealPlaces.map(
    (place) => [role, place.name, (options: Options) => make<string, string>(place, options), place] as const,
  ),
);

describe.each(roles)('the end of the stream on a connection that was %s over %s', (_role, _name, make, place) => {
  it('D4: a decoder in the middle of a message can fail the connection, even if no byte is left to decode', async () => {
    const { near, raw } = await make({ codec: mails(truncated) });
    const received = record(near.data);
    raw.end('hello\n.\nbye\n');
    expect(await received.end()).toMatchObject({
      code: 'ERR_FRAME_TRUNCATED',
      message: 'inside a mail, after 1 lines',
    });
    expect(received.values).toEqual(['hello', '.', 'bye']);
    expect(await firstValueFrom(near.closed)).toMatchObject({
      reason: 'failed',
      error: { code: 'ERR_FRAME_TRUNCATED' },
    });
  });

  it('D4: a decoder between two messages lets the stream end cleanly', async () => {
    // A server of node:tls that ends without sending anything sends no close_notify (T5).
    const silent = isSecure(place) ? [] : [''];
    for (const stream of [...silent, 'hello\n.\n', 'a\n.\nb\n.\n']) {
      const counts = { ends: 0 };
      const { near, raw } = await make({ codec: mails(truncated, counts), halfOpen: false });
      const received = record(near.data);
      raw.end(stream);
      raw.resume();
      expect(await received.end(), stream).toBe('complete');
      expect(counts.ends).toBe(1);
      expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
    }
  });

  it('D4: `end` can return the bytes that the decoder has taken and kept as the last value', async () => {
    const { near, raw } = await make({ codec: hoarding() });
    const received = record(near.data);
    raw.end('a,b,rest');
    expect(await received.end()).toBe('complete');
    expect(received.values).toEqual(['a', 'b', 'rest: rest']);
  });

  it('D4: `end` is called until it returns undefined', async () => {
    const { near, raw } = await make({ codec: appending('x', 'y', 'z') });
    const received = record(near.data);
    raw.end('a\n');
    expect(await received.end()).toBe('complete');
    expect(received.values).toEqual(['a', 'x', 'y', 'z']);
  });

  it('D4: if `end` never returns undefined, the library stops calling it, and the connection fails', async () => {
    const { near, raw } = await make({ codec: mails(() => 'again') });
    const received = record(near.data);
    raw.end('a\n');
    expect(await received.end()).toMatchObject({
      code: 'ERR_FRAME_INVALID',
      message: expect.stringMatching(/`end` gives value after value/),
    });
    expect(received.values).toEqual(['a', ...Array<string>(1_000).fill('again')]);
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed' });
  });

  it('D4: an `end` that consumes bytes may return any number of values', async () => {
    const bytewise = (bytes: ByteQueue): string | undefined =>
      bytes.length === 0 ? undefined : bytes.take(1).toString();
    const codec: Codec<string> = {
      decoder: () => ({ decode: () => undefined, end: bytewise }),
      encoder: () => lines().encoder(),
    };
    const { near, raw } = await make({ codec });
    const received = record(near.data);
    raw.end('x'.repeat(5_000));
    expect(await received.end()).toBe('complete');
    expect(received.values).toHaveLength(5_000);
  });

  it('D4: bytes that are still in the queue after the last value of `end` cause ERR_FRAME_TRUNCATED', async () => {
    const { near, raw } = await make({ codec: appending('last') });
    const received = record(near.data);
    raw.end('a\nunfinished');
    expect(await received.end()).toMatchObject({ code: 'ERR_FRAME_TRUNCATED' });
    expect(received.values).toEqual(['a', 'last']);
  });

  it("F10: if the stream ends while the channel is held, the last values or the decoder's error are emitted after the release", async () => {
    for (const [codec, values, ending] of [
      [appending('last'), ['a', 'last'], 'complete'],
      [mails(truncated), ['a'], { code: 'ERR_FRAME_TRUNCATED' }],
    ] as const) {
      const { near, raw } = await make({ codec });
      const received = record(near.data);
      raw.write('a\n');
      await received.count(1);
      const hold = near.data.hold();
      raw.end();
      await turns();
      expect([received.values, received.endings]).toEqual([['a'], []]);
      hold.release();
      expect(received.values).toEqual(values);
      if (ending === 'complete') expect(received.endings).toEqual([ending]);
      else expect(received.endings).toMatchObject([ending]);
    }
  });

  it('F1: if a subscriber takes only some of the last values, the next subscriber gets the remaining values', async () => {
    const { near, raw } = await make({ codec: appending('x', 'y', 'z') });
    raw.end('a\n');
    const taken: string[] = [];
    for (let one = 0; one < 2; one++) taken.push(await firstValueFrom(near.data));
    expect(taken).toEqual(['a', 'x']);
    const rest = record(near.data);
    expect(await rest.end()).toBe('complete');
    expect(rest.values).toEqual(['y', 'z']);
  });

  it('D4: `end` is called only if the stream has ended cleanly', async () => {
    const counts = { ends: 0 };
    const { near, raw } = await make({ codec: mails(truncated, counts) });
    const received = record(near.data);
    raw.write('a\n');
    await received.count(1);
    await turns();
    expect(counts.ends).toBe(0);
    if (isSecure(place)) near.destroy();
    else await abort(raw, near);
    expect(await received.end()).not.toMatchObject({ code: 'ERR_FRAME_TRUNCATED' });
    expect(counts.ends).toBe(0);
  });

  it('D4: a view that is made after the end of the stream has its own decoder', async () => {
    const { near, raw } = await make({ codec: undefined });
    const first = record(near.bytes.framed(appending('one')));
    raw.end('a\n');
    expect(await first.end()).toBe('complete');
    const second = record(near.bytes.framed(appending('two')));
    expect(await second.end()).toBe('complete');
    expect([first.values, second.values]).toEqual([['a', 'one'], ['two']]);
  });

  it('D4: a codec made by mapCodec calls `end` of its inner decoder, and maps the last values', async () => {
    const shout = (line: string): string => line.toUpperCase();
    const { near, raw } = await make({ codec: mapCodec(hoarding(), shout, shout) });
    const received = record(near.data);
    raw.end('a,b');
    expect(await received.end()).toBe('complete');
    expect(received.values).toEqual(['A', 'REST: B']);

    const other = await make({ codec: mapCodec(mails(truncated), shout, shout) });
    const cut = record(other.near.data);
    other.raw.end('a\n');
    expect(await cut.end()).toMatchObject({ code: 'ERR_FRAME_TRUNCATED' });
    expect(cut.values).toEqual(['A']);
  });
});

describe.each(realPlaces.map((place) => [place.name, place] as const))(
  'a client over %s with reconnect',
  (_n, place) => {
    /**
     * Dials a server that sends one of `streams` on each connection, and then ends the connection. The connection after
     * the last stream stays open.
     */
    async function dialling(place: Place, codec: Codec<string>, streams: string[]) {
      const address = await rawServer(place, (socket) => {
        const stream = streams.shift();
        if (stream === undefined) socket.write('the last\n');
        else socket.end(stream);
        void readAll(socket).then(
          () => socket.end(),
          () => undefined,
        );
      });
      const client = connect(address, { codec, reconnect: backoff({ initial: 1, max: 5 }) });
      const states = record(client);
      const data = record(client.data);
      onTestFinished(() => {
        states.subscription.unsubscribe();
        data.subscription.unsubscribe();
      });
      return { states, data };
    }

    it('K4: the client drops the unfinished message of the old connection, as it drops an unfinished frame', async () => {
      const { states, data } = await dialling(place, mails(truncated), ['a\n', 'b\nunfin', '.\n']);
      expect(await data.count(4)).toEqual(['a', 'b', '.', 'the last']);
      const ends = states.values.flatMap((state) => (state.status === 'disconnected' ? [state.error] : []));
      expect(ends).toEqual([undefined, undefined, undefined]);
      expect(data.endings).toEqual([]);
    });

    it('D4: `data` emits the last values of each connection before the values of the next connection', async () => {
      const { data } = await dialling(place, appending('x', 'y'), ['a\n', 'b\n']);
      expect(await data.count(7)).toEqual(['a', 'x', 'y', 'b', 'x', 'y', 'the last']);
    });

    it('K17: if `end` throws, only the connection of its decoder fails', async () => {
      const wrong = (open: readonly string[]): undefined => {
        if (open[0] === 'bad') throw new SocketError('ERR_FRAME_INVALID', 'not this one');
      };
      const { states, data } = await dialling(place, mails(wrong), ['bad\n', 'good\n']);
      expect(await data.count(3)).toEqual(['bad', 'good', 'the last']);
      const ends = states.values.flatMap((state) => (state.status === 'disconnected' ? [state.error?.code] : []));
      expect(ends).toEqual(['ERR_FRAME_INVALID', undefined]);
    });
  },
);
