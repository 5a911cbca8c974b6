/** Code that the programs of this folder share. */
import { basename } from 'node:path';
import { lastValueFrom, type Observable, type Observer } from 'rxjs';
import { formatAddress, type Server, SocketError } from 'rxjs-sockets';

export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/**
 * Runs `main` with the arguments of the program. If `main` fails, the program prints the error message, and ends with
 * status 1. If an argument is invalid, the program prints the error message and the usage, and ends with status 2.
 *
 * @param usage - the arguments as the usage shows them, such as `ADDRESS FOLDER`
 * @param count - the minimum and maximum number of arguments
 */
export async function program(
  usage: string,
  count: readonly [least: number, most: number],
  main: (...args: string[]) => Promise<void>,
): Promise<void> {
  const args = process.argv.slice(2);
  try {
    if (args.length < count[0] || args.length > count[1]) throw new UsageError('the number of arguments is wrong');
    await main(...args);
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exitCode = isUsageError(error) ? 2 : 1;
    if (isUsageError(error)) console.error(`usage: npm run example -- ${basename(process.argv[1] ?? '')} ${usage}`);
  }
}

function isUsageError(error: unknown): boolean {
  return (
    error instanceof UsageError ||
    (error instanceof SocketError && (error.code === 'ERR_ADDRESS_INVALID' || error.code === 'ERR_OPTION_INVALID'))
  );
}

/**
 * Runs a server until SIGTERM or Ctrl-C, and then lets work in progress finish. The first line that the program prints
 * is the address of the server.
 *
 * @param served - the output of `serve`; this function subscribes to that Observable
 * @param stopping - for a server that continues until its clients have sent all their data: at a signal, this function
 * then notifies this observer, and does not call `shutdown`. With or without `stopping`, connections that are still
 * open eight seconds after the signal are reset
 * @returns a promise that resolves when the last connection has closed, and rejects if the server cannot listen
 */
export async function serveUntilStopped(
  server: Server<any, any>,
  served: Observable<unknown>,
  stopping?: Observer<void>,
): Promise<void> {
  const deadline = 8_000; // ms
  const reset = (): void => {
    for (const connection of server.connections) connection.destroy();
  };
  server.listening.subscribe({
    next: (address) => console.log(formatAddress(address)),
    error: () => undefined, // `served` reports the same error
  });
  server.incidents.subscribe({ next: (error) => console.error(error.message), error: () => undefined });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      if (stopping === undefined) {
        void server.shutdown({ deadline });
      } else {
        stopping.next();
        setTimeout(reset, deadline).unref();
      }
    });
  }
  await lastValueFrom(served, { defaultValue: undefined });
}
