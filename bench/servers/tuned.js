/**
 * An expert's server over `node:net`, with one write for all the replies to a received chunk, and with backpressure.
 */
import net from 'node:net';
import { announce, place, task, transform } from './command-line.js';

const { kind, path } = task();
const members = /** @type {Set<net.Socket>} */ (new Set());

const server = net.createServer({ allowHalfOpen: kind === 'sink', noDelay: true }, (socket) => {
  socket.on('error', () => socket.destroy());
  socket.on('drain', () => socket.resume());
  /** @param {Buffer | string} data */
  const write = (data) => {
    if (!socket.write(data)) socket.pause();
  };
  switch (kind) {
    case 'echo':
    case 'idle':
      socket.on('data', write);
      break;
    case 'lines':
    case 'serve':
      eachBlock(socket, (text) => {
        let out = '';
        for (let start = 0; start < text.length;) {
          const end = text.indexOf('\n', start);
          out += `${transform(text.slice(start, end))}\n`;
          start = end + 1;
        }
        write(out);
      });
      break;
    case 'json':
      eachBlock(socket, (text) => {
        let out = '';
        for (let start = 0; start < text.length;) {
          const end = text.indexOf('\n', start);
          const { TEXT } = JSON.parse(text.slice(start, end));
          out += `${JSON.stringify({ TEXT: TEXT.toUpperCase() })}\n`;
          start = end + 1;
        }
        write(out);
      });
      break;
    case 'frames':
      someFrames(socket, (messages) => {
        const out = messages.flatMap((message) => [lengthOf(message), message]);
        // Copying many short parts into one Buffer is cheaper than writing each part.
        if (messages.length > 1) write(Buffer.concat(out));
        else {
          socket.cork();
          for (const part of out) write(part);
          socket.uncork();
        }
      });
      break;
    case 'sink': {
      let received = 0;
      socket.on('data', (chunk) => (received += chunk.length));
      socket.on('end', () => socket.end(String(received)));
      break;
    }
    case 'fanout':
    case 'channels':
      members.add(socket);
      socket.on('close', () => members.delete(socket));
      eachBlock(socket, (text) => {
        const bytes = Buffer.from(text);
        for (const member of members) member.write(bytes);
      });
      break;
  }
});

/**
 * Passes complete lines to `next`, many lines at a time.
 *
 * @param {net.Socket} socket
 * @param {(text: string) => void} next
 */
function eachBlock(socket, next) {
  /** @type {Buffer | undefined} */
  let rest;
  socket.on('data', (/** @type {Buffer} */ data) => {
    const chunk = rest === undefined ? data : Buffer.concat([rest, data]);
    const end = chunk.lastIndexOf(10) + 1;
    rest = end < chunk.length ? Buffer.from(chunk.subarray(end)) : undefined;
    if (end > 0) next(chunk.toString('utf8', 0, end));
  });
}

/**
 * Splits the input at the length prefixes, and passes complete messages to `next`. Joins the chunks of a long message
 * only once.
 *
 * @param {net.Socket} socket
 * @param {(messages: readonly Buffer[]) => void} next
 */
function someFrames(socket, next) {
  /** @type {Buffer[]} */
  let chunks = [];
  let length = 0;
  let needed = 4;
  socket.on('data', (/** @type {Buffer} */ data) => {
    chunks.push(data);
    length += data.length;
    if (length < needed) return;
    const bytes = chunks.length === 1 ? data : Buffer.concat(chunks, length);
    const messages = [];
    let at = 0;
    for (needed = 4; length - at >= needed; needed = 4) {
      needed += bytes.readUInt32BE(at);
      if (length - at < needed) break;
      messages.push(bytes.subarray(at + 4, at + needed));
      at += needed;
    }
    length -= at;
    chunks = length === 0 ? [] : [bytes.subarray(at)];
    if (messages.length > 0) next(messages);
  });
}

/** @param {Buffer} message */
function lengthOf(message) {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(message.length);
  return bytes;
}

server.listen(place(path), () => {
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  announce(path, port);
});
