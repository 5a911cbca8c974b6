import type asyncHooks from 'node:async_hooks';
import type { Cluster } from 'node:cluster';
import type crypto from 'node:crypto';
import type dns from 'node:dns';
import type tls from 'node:tls';

// These modules of Node are the slowest to load, and many programs do not need them. So each module is loaded on first
// use.

export function nodeAsyncHooks(): typeof asyncHooks {
  return process.getBuiltinModule('node:async_hooks');
}

export function nodeCluster(): Cluster {
  // The type has `default`, as an import does; the value is the module itself.
  return process.getBuiltinModule('node:cluster') as unknown as Cluster;
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
