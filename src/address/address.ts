/**
 * Says where to listen or to connect, in whichever form is at hand; {@link parseAddress} makes one {@link Address} of
 * all of them.
 *
 * - A string: `'tcp://host:port'`, `'tls://host:port'`, `'unix:/path'`, `'unix:@abstract'`, `'memory:name'`, `'fd:3'`.
 *   An IPv6 host stands in brackets, with a zone if need be: `'tcp://[fe80::1%eth0]:80'`. What follows `unix:` and
 *   `memory:` is taken as it is, without percent-decoding.
 * - A `URL` of the same schemes, percent-decoded.
 * - `{ port }` or `{ service }`, each with or without `host`; `{ path }`; `{ fd }`, an inherited listening socket
 *   (systemd), for `listen` only.
 * - An {@link Address}, for example the `remote` of a connection.
 *
 * An omitted host is `127.0.0.1` (A2). `{ path: '@name' }` is a file of that name and becomes `./@name`; an abstract
 * socket is `'unix:@name'` or `{ path: '\0name' }`. Node's sockets know all but `memory`, which is for
 * `memoryTransport()`; what a transport doesn't know, `listen` and `connect` refuse with `ERR_ADDRESS_INVALID`.
 *
 * @example
 * ```ts
 * const inputs: AddressInput[] = [
 *   'tcp://localhost:7000',
 *   { port: 7000 },
 *   { service: 'http' },
 *   { path: '/run/app.sock' },
 * ];
 * ```
 * @see rules A1 to A6
 */
export type AddressInput =
  | string
  | URL
  | { port: number; host?: string | undefined }
  | { service: string; host?: string | undefined }
  | { path: string }
  | { fd: number }
  | Address;

/**
 * Names one end of a socket: what {@link parseAddress} gives, and what a connection calls `local` and `remote`.
 *
 * - `tcp`: `port` is an integer from 0 to 65,535; 0 lets the system choose when listening. `tls` is set by `tls://`.
 * - `unix`: `path` is at most 107 bytes of UTF-8; `''` for an unnamed client socket, `'\0name'` for an abstract one.
 * - `memory`: an end within this process.
 * - `fd`: an inherited listening socket.
 *
 * @example
 * ```ts
 * const address: Address = { transport: 'tcp', host: '127.0.0.1', port: 7000 };
 * ```
 * @see https://man7.org/linux/man-pages/man7/unix.7.html, rules A1 and A4
 */
export type Address =
  | { transport: 'tcp'; host: string; port: number; tls?: true }
  | { transport: 'unix'; path: string }
  | { transport: 'memory'; name: string }
  | { transport: 'fd'; fd: number };
