import type { ServerTlsOptions } from 'rxjs-sockets';
import type { DataTls } from './data-connection.js';
import type { Folder } from './folder.js';

export interface Settings {
  readonly folder: Folder;
  /** The only user who may log in. Undefined if every user may log in. */
  readonly login: { readonly user: string; readonly password: string } | undefined;
  /** The TLS options for AUTH TLS and for data connections. Undefined if the server has no certificate. */
  readonly tls: { readonly control: ServerTlsOptions; readonly data: DataTls } | undefined;
  /** The first and the last port for passive data connections. If both ports are 0, the system chooses a port. */
  readonly ports: readonly [first: number, last: number];
  readonly stopping: AbortSignal;
  readonly limits: Limits;
}

export interface Limits {
  /** The time limit for logging in, in ms. */
  readonly login: number;
  /** The time limit between two commands, in ms. */
  readonly idle: number;
  /** The time limit for opening a data connection, in ms. */
  readonly open: number;
  /** The time limit for a transfer without progress, in ms. */
  readonly stall: number;
  /**
   * How long the server waits at the end of an upload, in ms, to see whether the control connection ends. When a client
   * is killed, both its data connection and its control connection end.
   */
  readonly farewell: number;
}

export const usualLimits: Limits = { login: 60_000, idle: 300_000, open: 20_000, stall: 60_000, farewell: 100 };
