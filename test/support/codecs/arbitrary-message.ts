import fc from 'fast-check';

/** A binary message, as bytes or as text. */
export const message = (maxLength = 300): fc.Arbitrary<Uint8Array | string> =>
  fc.oneof(
    fc.uint8Array({ maxLength }),
    fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes)),
    fc.string({ unit: 'binary', maxLength: Math.floor(maxLength / 4) }),
  );
