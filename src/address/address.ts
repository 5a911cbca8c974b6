/**
 * An address to listen on or to connect to, in one of several forms. {@link parseAddress} converts each form to an
 * {@link Address}.
 *
 * - A string: `'tcp://host:port'`, `'tls://host:port'`, `'unix:/path'`, `'unix:@abstract'`, `'memory:name'`, `'fd:3'`.
 *   An IPv6 host is written in brackets, and may have a zone: `'tcp://[fe80::1%eth0]:80'`. The text after `unix:` and
 *   `memory:` is not percent-decoded.
 * - A `URL` with the scheme `tcp:`, `tls:`, `unix:`, `memory:` or `fd:`. `parseAddress` percent-decodes the host and
 *   the path of the URL.
 * - An object: `{ port }`, `{ service }`, `{ path }` or `{ fd }`. With `port` or `service`, the object may also have a
 *   `host`. `{ fd }` is an inherited listening socket (systemd), for `listen` only.
 * - An {@link Address}, for example the `remote` of a connection.
 *
 * The default host is `127.0.0.1`. An abstract socket has the form `'unix:@name'` or `{ path: '\0name' }`. But
 * `{ path: '@name' }` means a file called `@name`, so `parseAddress` returns the path `./@name`. Node's sockets support
 * all forms except `memory`, which is for `memoryTransport()`. `listen` and `connect` throw `ERR_ADDRESS_INVALID` for
 * an address that their transport does not support.
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
 * An address in its parsed form, as {@link parseAddress} returns it. A connection's `local` and `remote` are also
 * Addresses.
 *
 * - `tcp`: `port` is an integer from 0 to 65,535. For a server, port 0 lets the system choose the port. `tls: true` has
 *   the same meaning as `tls://`.
 * - `unix`: `path` is `''` for an unnamed client socket, and `'\0name'` for an abstract socket. `path` has at most
 *   107 bytes of UTF-8, not counting the NUL of an abstract socket.
 * - `memory`: a name within this process.
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
