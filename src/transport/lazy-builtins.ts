import type asyncHooks from 'node:async_hooks';
import type crypto from 'node:crypto';
import type dns from 'node:dns';
import type tls from 'node:tls';

// Node modules that only some programs need. They are loaded on demand, because they take longer to load than any of
// the others.

export function nodeAsyncHooks(): typeof asyncHooks {
  return process.getBuiltinModule('node:async_hooks');
}

export function nodeCrypto(): typeof crypto {
  return process.getBuiltinModule('node:crypto');
}

export function nodeDns(): typeof dns {
  return process.getBuiltinModule('node:dns');
}

export function nodeTls(): typeof tls {
  return process.getBuiltinModule('node:tls');
}
