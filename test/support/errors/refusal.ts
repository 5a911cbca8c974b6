import { SocketError } from '../../../src/errors/socket-error.js';

/** Returns the SocketError that `act` throws, and rethrows any other error. */
export function refusal(act: () => unknown): SocketError {
  try {
    act();
  } catch (error) {
    if (error instanceof SocketError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}
