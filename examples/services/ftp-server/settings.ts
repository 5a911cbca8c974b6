/** The settings of a server, and the limits of its sessions. */
import type { ServerTlsOptions } from 'rxjs-sockets';
import type { DataTls } from './data-connection.js';
import type { Folder } from './folder.js';

export interface Settings {
  readonly folder: Folder;
  /** The user who may log in; undefined if every user may. */
  readonly login: { readonly user: string; readonly password: string } | undefined;
  /** The TLS options for AUTH TLS and data connections. */
  readonly tls: { readonly control: ServerTlsOptions; readonly data: DataTls } | undefined;
  /** The ports of passive data connections; 0 lets the system choose. */
  readonly ports: readonly [first: number, last: number];
  /** Aborted when the server stops. */
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
  /** How long the control connection's end may follow the upload's end, in ms. Each upload waits this long. */
  readonly farewell: number;
}

export const usualLimits: Limits = { login: 60_000, idle: 300_000, open: 20_000, stall: 60_000, farewell: 100 };
