import { authority, type Identity, server as identity } from './certificates.js';

/** What a client trusts, and what a server shows. */
export const asClient = { ca: authority, servername: 'localhost' };
export const asServer: Identity = identity;
