/** What a server is started with, and what its sessions may take. */
import type { ServerTlsOptions } from 'rxjs-sockets';
import type { DataTls } from './data-connection.js';
import type { Folder } from './folder.js';

export interface Settings {
  readonly folder: Folder;
  /** Who may log in; undefined where everybody may. */
  readonly login: { readonly user: string; readonly password: string } | undefined;
  /** What AUTH TLS starts, and what data connections are encrypted with. */
  readonly tls: { readonly control: ServerTlsOptions; readonly data: DataTls } | undefined;
  /** The ports of passive data connections; 0 lets the system choose. */
  readonly ports: readonly [first: number, last: number];
  /** Is aborted when the server stops. */
  readonly stopping: AbortSignal;
  readonly limits: Limits;
}

export interface Limits {
  /** How long a client may take to log in, in ms. */
  readonly login: number;
  /** How long it may say nothing between two commands, in ms. */
  readonly idle: number;
  /** How long a data connection may take to come about, in ms. */
  readonly open: number;
  /** How long a transfer may stand still, in ms. */
  readonly stall: number;
  /** How long the end of a control connection may come after that of its upload, in ms: so long each upload waits. */
  readonly farewell: number;
}

export const usualLimits: Limits = { login: 60_000, idle: 300_000, open: 20_000, stall: 60_000, farewell: 100 };
