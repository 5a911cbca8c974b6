// limited-server.ts LIMIT ADDRESS [public-api]: an echo server in a process with at most LIMIT descriptors. Its
// parent controls it over IPC.
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readdirSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { formatAddress, listen, nodeTransport } from 'rxjs-sockets';

/** The commands of the parent. Each command gets one answer. */
export type Order = 'state' | 'eat' | 'free' | 'rest';

export interface State {
  readonly address: string;
  /** How many connections are open. */
  readonly served: number;
  /** The codes of the incidents. */
  readonly incidents: readonly string[];
  readonly descriptors: number;
  /** The fraction of the time since the previous answer during which the event loop was busy. */
  readonly busy: number;
}

const [limit = '', where = '', api] = process.argv.slice(2);
// Like `ulimit -n`, but set only after tsx has loaded the library's source.
execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${limit}:${limit}`]);

const server = listen(where, { transport: nodeTransport({ internals: api !== 'public-api' }) });
const incidents: string[] = [];
const eaten: number[] = [];
let address = '';
let last = performance.eventLoopUtilization();

const state = (): State => {
  const since = performance.eventLoopUtilization(last);
  last = performance.eventLoopUtilization();
  const served = server.connections.size;
  // Reading the folder takes a descriptor, and perhaps none is free.
  let descriptors = -1;
  try {
    descriptors = readdirSync('/proc/self/fd').length;
  } catch {
    // No descriptor is free.
  }
  return { address, served, incidents: [...incidents], descriptors, busy: since.utilization };
};

const orders: Record<Order, () => Promise<void> | void> = {
  state: () => undefined,
  eat: () => {
    try {
      for (;;) eaten.push(openSync('/', 'r'));
    } catch {
      // No descriptor is free.
    }
  },
  free: () => {
    for (const fd of eaten.splice(0)) closeSync(fd);
  },
  rest: async () => {
    state();
    await wait(300);
  },
};

process.on('message', (order: Order) => {
  void (async () => {
    await orders[order]();
    process.send?.({ answer: state() });
  })();
});
process.on('disconnect', () => process.exit());
server.incidents.subscribe(({ code }) => {
  incidents.push(code);
  process.send?.({ incident: code });
});
server.listening.subscribe((bound) => {
  address = formatAddress(bound);
  process.send?.({ answer: state() });
});
server.subscribe(({ bytes }) => bytes.subscribe(bytes));
