import * as buffer from 'node:buffer';

/** From so many bytes on, decoding text beyond ASCII by way of UTF-16 is up to ten times as fast. */
const worthTranscoding = 512;

/** Some runtimes have no `transcode`, or one that always throws, so it is tried once. */
const transcodes = ((): boolean => {
  try {
    return buffer.transcode(Buffer.from('\ufeffé'), 'utf8', 'utf16le').toString('utf16le') === '\ufeffé';
  } catch {
    return false;
  }
})();

/**
 * Decodes UTF-8 strictly, and keeps a byte order mark as `Buffer.toString` does. For long text beyond ASCII `toString` takes
 * ten times as long.
 *
 * @returns the text, or undefined if `bytes` is not valid UTF-8
 */
export function decodeUtf8(bytes: Buffer): string | undefined {
  if (buffer.isAscii(bytes)) return bytes.toString('latin1');
  if (!buffer.isUtf8(bytes)) return undefined;
  if (!transcodes || bytes.length < worthTranscoding) return bytes.toString('utf8');
  return buffer.transcode(bytes, 'utf8', 'utf16le').toString('utf16le');
}

/** Whether `text` has no lone surrogate, so that UTF-8 can carry it. TypeScript's es2023 library lacks `isWellFormed`. */
export function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed();
}
