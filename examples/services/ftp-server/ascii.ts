/** Converts text (TYPE A). Lines end with LF in a file, and with CR LF on the data connection. */
const newline = 0x0a;
const carriageReturn = 0x0d;

export async function* toWire(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    // The encoding latin1 converts each byte to one character, and that character back to the same byte.
    yield Buffer.from(chunk.toString('latin1').replaceAll('\n', '\r\n'), 'latin1');
  }
}

/**
 * Keeps a CR at the end of a chunk until the next chunk arrives, because the LF after that CR may be in the next chunk.
 */
export async function* fromWire(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let hasReturn = false;
  for await (const chunk of chunks) {
    if (hasReturn && chunk[0] !== newline) yield Buffer.of(carriageReturn);
    hasReturn = chunk.at(-1) === carriageReturn;
    const text = chunk.toString('latin1', 0, hasReturn ? chunk.length - 1 : chunk.length);
    yield Buffer.from(text.replaceAll('\r\n', '\n'), 'latin1');
  }
  if (hasReturn) yield Buffer.of(carriageReturn);
}
