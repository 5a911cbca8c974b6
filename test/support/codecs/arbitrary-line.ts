import fc from 'fast-check';

const text = (unit: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 8, arbitrary: fc.string({ unit, maxLength: 40 }) },
    { weight: 1, arbitrary: fc.string({ unit, minLength: 200, maxLength: 3_000, size: 'max' }) },
  );

const special = fc.constantFrom('\r', '\ufeff', '\0', '\u2028', '\u0085', 'é', '€', '😀', '�', 'a', ' ');

/** Text that the codec `lines` can carry in UTF-8 with the delimiter '\n'. */
export const line = (): fc.Arbitrary<string> =>
  fc
    .oneof(text(fc.constantFrom('a', 'b', '\t')), text(special), fc.string({ unit: 'binary' }))
    .map((value) => value.replaceAll('\n', '').replace(/\r+$/, ''));

/** Text that the codec `lines` can carry in latin1. */
export const latin1Line = (): fc.Arbitrary<string> =>
  text(fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code))).map((value) =>
    value.replaceAll('\n', '').replace(/\r+$/, ''),
  );

/** Bytes with many line ends and multi-byte characters. In some, a stray byte makes the UTF-8 invalid. */
export const lineBytes = (): fc.Arbitrary<Buffer> =>
  fc
    .array(
      fc.oneof(
        {
          weight: 6,
          arbitrary: fc.constantFrom('\n', '\r\n', '\r', 'a', 'bc', 'long enough to be a slice', 'é', '€', '😀'),
        },
        { weight: 1, arbitrary: text(fc.constantFrom('x', 'y')) },
        { weight: 1, arbitrary: text(fc.constantFrom('ж', 'é')) },
      ),
      { maxLength: 60 },
    )
    .map((pieces) => Buffer.from(pieces.join('')))
    .chain((bytes) =>
      fc.oneof(
        { weight: 2, arbitrary: fc.constant(bytes) },
        {
          weight: 1,
          arbitrary: fc
            .tuple(fc.nat(bytes.length), fc.constantFrom(0xff, 0xc0, 0x80, 0xe2, 0xed, 0xf0))
            .map(([at, bad]) => Buffer.concat([bytes.subarray(0, at), Buffer.of(bad), bytes.subarray(at)])),
        },
      ),
    );
