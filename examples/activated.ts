/**
 * A server on a socket that systemd opens. When the first client connects, systemd starts the server; see
 * docs/systemd.md.
 *
 *     systemd-socket-activate -l 7000 npx tsx --conditions=rxjs-sockets-source examples/activated.ts
 *
 * Without systemd, the server listens at the address in the argument, or, without an argument, at
 * tcp://localhost:7000.
 */
import { map } from 'rxjs';
import { type AddressInput, formatAddress, listen, serve } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';

// #region activated
/** Returns the sockets that systemd has passed to this process, as descriptors from 3 on: see sd_listen_fds(3). */
function activated(): AddressInput[] {
  const { LISTEN_PID, LISTEN_FDS } = process.env;
  // Child processes inherit the environment, but not the sockets.
  delete process.env['LISTEN_PID'];
  delete process.env['LISTEN_FDS'];
  delete process.env['LISTEN_FDNAMES'];
  if (Number(LISTEN_PID) !== process.pid) return [];
  return Array.from({ length: Number(LISTEN_FDS) }, (_, index) => ({ fd: 3 + index }));
}
// #endregion

// #region serve
const [address = process.argv[2] ?? 'tcp://localhost:7000'] = activated();
const server = listen(address, { codec: lines() });
server.listening.subscribe((bound) => console.log(`listening at ${formatAddress(bound)}`));
server.incidents.subscribe((error) => console.error(error.message));
server.pipe(serve(({ data }) => data.pipe(map((line) => line.toUpperCase())))).subscribe({
  error: (error: unknown) => {
    console.error(String(error));
    process.exitCode = 1;
  },
});
// #endregion

// #region stop
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void server.shutdown({ deadline: 10_000 }));
}
// #endregion
