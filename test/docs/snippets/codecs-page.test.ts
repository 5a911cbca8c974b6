import { concatMap, firstValueFrom, take } from 'rxjs';
import { type AddressInput, connect, listen, serve, type Server, SocketError, type Transport } from 'rxjs-sockets';
import { type Codec, jsonLines, lengthPrefixed, lines, mapCodec } from 'rxjs-sockets/codecs';
import { memoryTransport, verifyCodec } from 'rxjs-sockets/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { receive } from '../../support/codecs/decode-stream.js';

/** The library's `listen`, over a separate memory transport, so that any address is free. */
function within(transport: Transport): { listen: (address: AddressInput) => Server } {
  return { listen: (address) => listen(address, { transport }) };
}

describe('the page about codecs', () => {
  it('D2: maps a codec', () => {
    const dates = mapCodec(
      lines({ maxLength: 32 }),
      (line) => {
        const date = new Date(line);
        if (Number.isNaN(date.getTime())) throw new RangeError(`no date: ${line}`);
        return date;
      },
      (date: Date) => date.toISOString(),
    );
    verifyCodec(dates, [new Date(0), new Date('2024-02-29T12:00:00.123Z')], {
      lastFrameMayBeOpen: true,
      refused: [new Date(Number.NaN), undefined],
    });
  });

  it('D4: reports the end of the stream inside a group of frames', () => {
    const mails: Codec<string> = {
      decoder: () => {
        const decoder = lines().decoder();
        let isOpen = false;
        return {
          decode(bytes) {
            const line = decoder.decode(bytes);
            if (line !== undefined) isOpen = line !== '.';
            return line;
          },
          end() {
            if (isOpen) throw new SocketError('ERR_FRAME_TRUNCATED', 'the stream has ended inside a mail');
            return undefined; // a line without its end is ERR_FRAME_TRUNCATED as well
          },
        };
      },
      encoder: () => lines().encoder(),
    };
    verifyCodec(mails, ['hello', '.', 'one', 'two', '.']);
    expect(receive(mails, [Buffer.from('hello\n.\n')])).toEqual({
      messages: ['hello', '.'],
      error: undefined,
      left: 0,
    });
    expect(receive(mails, [Buffer.from('hello\n.\nbye\n')])).toMatchObject({ error: 'ERR_FRAME_TRUNCATED', left: 0 });
    expect(receive(mails, [Buffer.from('hello\n.\nbye')])).toMatchObject({ error: 'ERR_FRAME_TRUNCATED', left: 3 });
  });

  it('D1: writes a custom codec, and verifies it', () => {
    interface Entry {
      readonly kind: number;
      readonly body: Buffer;
    }

    const header = 3;
    const longest = 4_096;

    const entries: Codec<Entry> = {
      decoder: () => ({
        decode(bytes) {
          if (bytes.length < header) return undefined; // more bytes are needed; nothing was consumed
          const size = bytes.uint(1, 2, 'big');
          if (size > longest) throw new SocketError('ERR_FRAME_TOO_LONG', `an entry of ${size} bytes`);
          if (bytes.length < header + size) return undefined;
          const kind = bytes.at(0);
          bytes.skip(header);
          return { kind, body: bytes.take(size) };
        },
      }),
      encoder: () => ({
        encode({ kind, body }, into) {
          if (kind !== (kind & 255)) throw new SocketError('ERR_FRAME_INVALID', `an entry of the kind ${kind}`);
          if (body.length > longest) throw new SocketError('ERR_FRAME_TOO_LONG', `an entry of ${body.length} bytes`);
          into.uint(kind, 1, 'big');
          into.uint(body.length, 2, 'big');
          into.bytes(body);
        },
      }),
    };

    verifyCodec(
      entries,
      [
        { kind: 0, body: Buffer.alloc(0) },
        { kind: 255, body: Buffer.from('é€😀') },
        { kind: 7, body: Buffer.alloc(4_096, 'x') },
      ],
      {
        refused: [
          { kind: 1.5, body: Buffer.alloc(0) },
          { kind: 1, body: Buffer.alloc(4_097) },
        ],
      },
    );
  });

  it('C13: changes the codec in mid-stream', async () => {
    const transport = memoryTransport();
    const { listen } = within(transport);

    const server = listen('tcp://localhost:7000').pipe(
      serve(({ bytes }) =>
        bytes.framed(lines({ maxLength: 64 })).pipe(
          take(1), // the name, and no byte after it
          concatMap((name) => {
            const messages = bytes.framed(lengthPrefixed({ bytes: 2 }));
            messages.next(`welcome, ${name}`);
            return messages.sendFrom(messages); // from here on, binary messages: an echo
          }),
        ),
      ),
    );
    server.subscribe();

    const client = connect('tcp://localhost:7000', { transport });
    client.data.framed(lines()).next('Ada');
    const messages = client.data.framed(lengthPrefixed({ bytes: 2 }));
    messages.next('one\n');
    messages.next(Uint8Array.of(0, 10, 13));
    const received: string[] = [];
    const ended = new Promise<void>((resolve, reject) => {
      messages.subscribe({
        next: (message) => received.push(message.toString('latin1')) === 3 && messages.complete(),
        error: reject,
        complete: resolve,
      });
    });
    await ended;
    expect(received).toEqual(['welcome, Ada', 'one\n', '\0\n\r']);
  });

  it('D5: if a value cannot be encoded, send() only rejects, but next() fails the connection', async () => {
    const transport = memoryTransport();
    const codec = jsonLines<unknown>();
    const serving = listen('memory:json', { transport, codec }).subscribe(({ data }) => data.subscribe(data));
    const client = connect('memory:json', { transport, codec });
    onTestFinished(() => {
      serving.unsubscribe();
    });
    const first = firstValueFrom(client.data);
    await expect(client.data.send(1n)).rejects.toMatchObject({ code: 'ERR_FRAME_INVALID' });
    await client.data.send({ a: 1 });
    expect(await first).toEqual({ a: 1 });
    const failed = firstValueFrom(client.data);
    client.data.next(undefined);
    await expect(failed).rejects.toMatchObject({ code: 'ERR_FRAME_INVALID' });
  });

  it('D6: bytes that are not a message end the connection they arrived on, and no other', async () => {
    const transport = memoryTransport();
    const codec = jsonLines<unknown>();
    const reasons: unknown[] = [];
    const serving = listen('memory:json', { transport, codec }).subscribe(({ data }) =>
      data.subscribe({ next: (value) => data.next(value), error: (error: unknown) => reasons.push(error) }),
    );
    onTestFinished(() => {
      serving.unsubscribe();
    });
    const good = connect('memory:json', { transport, codec });
    const bad = connect('memory:json', { transport });
    const ended = new Promise((resolve) => bad.data.subscribe({ error: resolve, complete: () => resolve('complete') }));
    bad.data.next('{"\\u005f_proto__":{"admin":true}}\n');
    await ended;
    const answer = firstValueFrom(good.data);
    good.data.next({ still: 'here' });
    expect(await answer).toEqual({ still: 'here' });
    expect(reasons).toMatchObject([{ code: 'ERR_FRAME_INVALID' }]);
  });
});
