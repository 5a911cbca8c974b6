import { SocketError } from '../../../src/errors/socket-error.js';

/** The SocketError that `act` throws; another Error if it throws none. */
export function refusal(act: () => unknown): SocketError {
  try {
    act();
  } catch (error) {
    if (error instanceof SocketError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}
