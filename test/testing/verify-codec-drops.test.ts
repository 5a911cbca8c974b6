import { describe, expect, it } from 'vitest';
import type { Codec } from '../../src/codecs/codec.js';
import { lines } from '../../src/codecs/lines.js';
import { SocketError } from '../../src/errors/socket-error.js';
import { verifyCodec } from '../../src/testing/verify-codec.js';

describe('verifyCodec, with a codec that counts its messages,', () => {
  const text = lines();
  const counted = (accepts: (number: number, last: number) => boolean): Codec<string> => ({
    encoder: () => {
      const encoder = text.encoder();
      let count = 0;
      return {
        encode(value, into): void {
          encoder.encode(`${count++} ${value}`, into);
        },
      };
    },
    decoder: () => {
      const decoder = text.decoder();
      let last = -1;
      return {
        decode(bytes): string | undefined {
          const line = decoder.decode(bytes);
          if (line === undefined) return undefined;
          const [number = '', value] = line.split(' ');
          if (!accepts(Number(number), last)) throw new SocketError('ERR_FRAME_INVALID', `${number} follows ${last}`);
          last = Number(number);
          return value;
        },
      };
    },
  });

  it('D5: finds that a frame cannot be decoded after the previous frame was dropped', () => {
    expect(() =>
      verifyCodec(
        counted((number, last) => number === last + 1),
        ['a', 'b', 'c'],
      ),
    ).toThrow(/^D5: decode threw at message 0: 1 follows -1; without the frame of 'a';/);
    expect(() =>
      verifyCodec(
        counted((number, last) => last < 0 || number === last + 1),
        ['a', 'b', 'c'],
      ),
    ).toThrow(/^D5: decode threw at message 1: 2 follows 0; without the frame of 'b';/);
  });

  it('D5: accepts a decoder that needs earlier frames if framesMayDepend is set', () => {
    verifyCodec(
      counted((number, last) => number === last + 1),
      ['a', 'b', 'c'],
      { framesMayDepend: true },
    );
  });

  it('D5: accepts a decoder that expects gaps', () => {
    verifyCodec(
      counted((number, last) => number > last),
      ['a', 'b', 'c'],
    );
  });
});
