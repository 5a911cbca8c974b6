import type crypto from 'node:crypto';
import type dns from 'node:dns';
import type tls from 'node:tls';

// Parts of Node that only some programs need. They take longer to load than the rest of what a server is made of.

export function nodeTls(): typeof tls {
  return process.getBuiltinModule('node:tls');
}

export function nodeCrypto(): typeof crypto {
  return process.getBuiltinModule('node:crypto');
}

export function nodeDns(): typeof dns {
  return process.getBuiltinModule('node:dns');
}
