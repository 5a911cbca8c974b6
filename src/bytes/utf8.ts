import * as buffer from 'node:buffer';

/** From here on, in bytes, the way over UTF-16 is the faster one for text that is not ASCII, by up to ten times. */
const worthTranscoding = 512;

/** Some runtimes have no `transcode`, or one that only throws: it is tried out once. */
const transcodes = ((): boolean => {
  try {
    return buffer.transcode(Buffer.from('\ufeffé'), 'utf8', 'utf16le').toString('utf16le') === '\ufeffé';
  } catch {
    return false;
  }
})();

/**
 * Decodes UTF-8 strictly and keeps a byte order mark, as `Buffer.toString` does, which costs ten times as much where
 * the text is long and not ASCII.
 *
 * @returns the text, or `undefined` where `bytes` is not valid UTF-8.
 */
export function decodeUtf8(bytes: Buffer): string | undefined {
  if (buffer.isAscii(bytes)) return bytes.toString('latin1');
  if (!buffer.isUtf8(bytes)) return undefined;
  if (!transcodes || bytes.length < worthTranscoding) return bytes.toString('utf8');
  return buffer.transcode(bytes, 'utf8', 'utf16le').toString('utf16le');
}
