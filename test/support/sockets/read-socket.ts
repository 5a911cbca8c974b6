import type net from 'node:net';
import type { Duplex } from 'node:stream';
import type { Connection } from 'rxjs-sockets';
import { until } from '../scheduling/event-loop.js';

/** Reads a stream to the peer's FIN. Rejects if the stream is reset instead. */
export async function readAll(socket: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  await new Promise<void>((resolve, reject) => {
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', resolve);
    socket.on('error', reject);
    socket.on('close', () => {
      reject(new Error(`closed without a FIN, after ${Buffer.concat(chunks).length} bytes`));
    });
    socket.resume();
  });
  return Buffer.concat(chunks);
}

/**
 * Reads a plain socket to its end, and returns `'fin'` or the code of the error. If a reset follows unread bytes, libuv
 * reports an end instead, and the next write reveals the reset.
 */
export function endingOf(socket: net.Socket): Promise<string> {
  return new Promise((resolve) => {
    const failed = (error: NodeJS.ErrnoException): void => resolve(error.code ?? error.message);
    socket.on('error', failed);
    socket.on('end', () => {
      socket.write('.', (error) => {
        if (error === undefined || error === null) resolve('fin');
        else failed(error);
      });
    });
    socket.resume();
  });
}

/** Reads exactly `count` bytes, then pauses the socket. */
export async function readBytes(socket: net.Socket, count: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  await new Promise<void>((resolve, reject) => {
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk);
      size += chunk.length;
      if (size < count) return;
      socket.pause();
      socket.off('data', onData);
      resolve();
    };
    socket.on('data', onData);
    socket.once('end', () => {
      reject(new Error(`the FIN came after ${size} of ${count} bytes`));
    });
    socket.resume();
  });
  const bytes = Buffer.concat(chunks);
  if (size > count) socket.unshift(bytes.subarray(count));
  return bytes.subarray(0, count);
}

/**
 * Makes `raw` reset its connection to `near`. A unix socket causes a reset only if it closes with unread bytes. So on a
 * unix socket, `near` first sends some bytes, and its channel must carry bytes or lines.
 */
export async function abort(raw: net.Socket, near: Connection<any, any>): Promise<void> {
  if (near.remote.transport === 'tcp') {
    raw.resetAndDestroy();
    return;
  }
  raw.pause();
  // More than Node reads ahead, but less than the kernel buffers.
  near.bytes.next(Buffer.alloc(150_000));
  await until(() => raw.readableLength > 0);
  raw.destroy();
}
