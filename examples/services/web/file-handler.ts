/** Answers HTTP requests with the files of a folder. */
import type { BigIntStats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse, STATUS_CODES } from 'node:http';
import { extname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { conditionalStatus, requestedRange } from './conditions.js';
import type { Folder } from './folder.js';

const contentTypes = new Map([
  ['.avif', 'image/avif'],
  ['.css', 'text/css; charset=utf-8'],
  ['.csv', 'text/csv; charset=utf-8'],
  ['.gif', 'image/gif'],
  ['.htm', 'text/html; charset=utf-8'],
  ['.html', 'text/html; charset=utf-8'],
  ['.ico', 'image/x-icon'],
  ['.jpeg', 'image/jpeg'],
  ['.jpg', 'image/jpeg'],
  ['.js', 'text/javascript; charset=utf-8'],
  ['.json', 'application/json'],
  ['.md', 'text/markdown; charset=utf-8'],
  ['.mjs', 'text/javascript; charset=utf-8'],
  ['.mp3', 'audio/mpeg'],
  ['.mp4', 'video/mp4'],
  ['.pdf', 'application/pdf'],
  ['.png', 'image/png'],
  ['.svg', 'image/svg+xml'],
  ['.txt', 'text/plain; charset=utf-8'],
  ['.wasm', 'application/wasm'],
  ['.webm', 'video/webm'],
  ['.webp', 'image/webp'],
  ['.woff2', 'font/woff2'],
  ['.xml', 'application/xml'],
  ['.zip', 'application/zip'],
]);

/** The HTTP status for each error code of the file system. For any other error, the status is 500. */
const statusOf = new Map([
  ['ENOENT', 404],
  ['ENOTDIR', 404],
  ['ELOOP', 404],
  ['ENAMETOOLONG', 404],
  ['ENXIO', 404], // the file is a socket
  ['EACCES', 403],
  ['EPERM', 403],
  ['EMFILE', 503],
  ['ENFILE', 503],
]);

/** Thrown to answer a request with a status and a line of text. */
class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;

  constructor(status: number, headers: OutgoingHttpHeaders = {}) {
    super(STATUS_CODES[status]);
    this.status = status;
    this.headers = headers;
  }
}

/** Answers one request. The returned promise never rejects, and resolves when the response has ended or was aborted. */
export async function answer(folder: Folder, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    await respond(folder, request, response);
  } catch (error) {
    // If the response has already begun, it is aborted, because a client must not take half a file for a complete file.
    if (response.headersSent) response.destroy(error as Error);
    else refuse(response, error);
  }
}

async function respond(folder: Folder, request: IncomingMessage, response: ServerResponse): Promise<void> {
  // A request with any other method may have a body. The server does not read the body, so the server cannot find the
  // next request on the same connection.
  if (!isRead(request.method)) throw new Refusal(405, { Allow: 'GET, HEAD', Connection: 'close' });
  const { names, isFolder, query } = parseTarget(request.url ?? '');
  const path = isFolder ? [...names, 'index.html'] : names;
  await using file = await folder.open(path);
  const status = await file?.stat({ bigint: true });
  if (status?.isDirectory() === true && !isFolder) {
    // Relative links in index.html work only if the address of the folder ends with a slash.
    throw new Refusal(301, { Location: `/${names.map((name) => `${encodeURIComponent(name)}/`).join('')}${query}` });
  }
  if (file === undefined || status?.isFile() !== true) throw new Refusal(404);

  const type = contentTypes.get(extname(path.at(-1) ?? '').toLowerCase()) ?? 'application/octet-stream';
  response.setHeader('Content-Type', type);
  response.setHeader('X-Content-Type-Options', 'nosniff');
  await sendFile(file, status, request, response);
}

async function sendFile(
  file: FileHandle,
  { size: exactSize, mtimeNs }: BigIntStats,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const size = Number(exactSize);
  const version = {
    tag: `"${exactSize.toString(16)}-${mtimeNs.toString(16)}"`,
    modified: new Date(Math.min(Number(mtimeNs / 1_000_000_000n), Math.floor(Date.now() / 1_000)) * 1_000),
  };
  response.setHeader('ETag', version.tag);
  response.setHeader('Last-Modified', version.modified.toUTCString());
  response.setHeader('Cache-Control', 'no-cache'); // the client asks each time, and gets a 304 for an unchanged file
  response.setHeader('Accept-Ranges', 'bytes');

  const conditional = conditionalStatus(request.headers, version);
  if (conditional === 412) throw new Refusal(412);
  if (conditional === 304) {
    response.writeHead(304).end();
    return;
  }

  const range = request.method === 'GET' ? requestedRange(request.headers, size, version) : undefined;
  if (range === 'unsatisfiable') throw new Refusal(416, { 'Content-Range': `bytes */${size}` });
  const { start, end } = range ?? { start: 0, end: size - 1 };
  response.setHeader('Content-Length', end - start + 1);
  if (range === undefined) response.writeHead(200);
  else response.writeHead(206, { 'Content-Range': `bytes ${start}-${end}/${size}` });
  if (request.method === 'GET' && start <= end) await sendBytes(file, start, end, response);
  response.end();
}

/** Sends a part of a file, as fast as the client reads. */
async function sendBytes(file: FileHandle, start: number, end: number, response: ServerResponse): Promise<void> {
  const bytes = file.createReadStream({ start, end });
  await pipeline(bytes, response, { end: false });
  if (bytes.bytesRead <= end - start) throw new Error('the file became shorter while it was sent');
}

/** Splits a request target, such as `/a%20b/c?d` or `http://host/a%20b/c?d`. */
function parseTarget(target: string): { names: string[]; isFolder: boolean; query: string } {
  const [, path = '', query = ''] = /^(?:https?:\/\/[^/?#]*)?([^?#]*)(\?[^#]*)?/i.exec(target) ?? [];
  if (path !== '' && !path.startsWith('/')) throw new Refusal(400);
  try {
    // Decodes the names after splitting the path, and decodes each name only once, so that a name with an encoded slash
    // is never served.
    const names = path
      .split('/')
      .filter((name) => name !== '')
      .map(decodeURIComponent);
    return { names, isFolder: path === '' || path.endsWith('/'), query };
  } catch {
    throw new Refusal(400);
  }
}

function refuse(response: ServerResponse, error: unknown): void {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const { status, headers } = error instanceof Refusal ? error : new Refusal(statusOf.get(code) ?? 500);
  if (status === 500) console.error(error);
  const text = `${status} ${STATUS_CODES[status] ?? ''}\n`;
  response.writeHead(status, {
    ...headers,
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': text.length,
  });
  response.end(text);
}

function isRead(method: string | undefined): boolean {
  return method === 'GET' || method === 'HEAD';
}
