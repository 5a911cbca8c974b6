export const transports = ['tcp', 'unix'] as const;
export type Transport = (typeof transports)[number];

/** One kind of work, which each server does in its own way. */
export interface Row {
  readonly id: string;
  readonly title: string;
  /** The server's task: see `servers/command-line.js`. */
  readonly kind: string;
  /** The load generator's arguments, without the address and the time. */
  readonly load: readonly string[];
  /** The name of the figure in the load generator's answer. */
  readonly figure: string;
  readonly unit: string;
  /** The tables show the figure divided by this number. */
  readonly scale: number;
  readonly better: 'more' | 'less';
  readonly servers: readonly string[];
  /**
   * The target for the ratio of our figure to the figure of the server `plain`: the minimum ratio, or, if less is
   * better, the maximum ratio.
   */
  readonly target: Readonly<Record<Transport, number>>;
  /**
   * Our targets against servers other than `plain`: for each server, the minimum of the ratio of our figure to that
   * server's figure.
   */
  readonly against?: Readonly<Record<string, number>>;
  /** Whether to keep the processor cores awake. Waking a core takes longer than any server takes to answer. */
  readonly awake?: boolean;
  /** Report the processor time for each connection or each message, too. */
  readonly work?: 'connection' | 'message';
}

const streams = ['rxjs-sockets', 'plain', 'tuned', 'from-event', 'split2', 'effect', 'limit'];
const messages = [...streams.toSpliced(streams.indexOf('limit'), 0, 'effect-batched'), 'ws'];
const lines = {
  kind: 'lines',
  figure: 'messagesPerSecond',
  unit: 'thousand messages/s',
  scale: 1e3,
  better: 'more',
  work: 'message',
} as const;

const churn = {
  load: ['churn', 'size=64', 'connections=8'],
  figure: 'connectionsPerSecond',
  unit: 'connections/s',
  scale: 1,
  better: 'more',
  work: 'connection',
} as const;

export const rows: readonly Row[] = [
  {
    id: 'one-way',
    title: 'One-way bulk, blocks of 64 KiB',
    kind: 'sink',
    load: ['sink'],
    figure: 'bytesPerSecond',
    unit: 'MiB/s',
    scale: 1_048_576,
    better: 'more',
    servers: streams,
    target: { tcp: 1, unix: 1 },
  },
  {
    id: 'bulk-echo',
    title: 'Bulk echo, 1 MiB in flight',
    kind: 'echo',
    load: ['echo', 'size=65536', 'window=16'],
    figure: 'bytesPerSecond',
    unit: 'MiB/s',
    scale: 1_048_576,
    better: 'more',
    servers: streams,
    target: { tcp: 1.2, unix: 1.2 },
  },
  {
    ...lines,
    id: 'lines',
    title: 'Echo of 64-byte lines, 1,000 in flight',
    load: ['echo', 'size=64', 'window=1000'],
    servers: messages,
    target: { tcp: 9, unix: 6 },
    against: { effect: 2.5, limit: 0.3 },
  },
  {
    ...lines,
    id: 'lines-changed',
    title: 'Echo of 64-byte lines, each changed',
    kind: 'changed',
    load: ['echo', 'size=64', 'window=1000', 'upper=1'],
    servers: ['rxjs-sockets', 'plain', 'tuned', 'from-event', 'effect', 'effect-batched'],
    target: { tcp: 8, unix: 6 },
  },
  {
    ...lines,
    id: 'lines-16',
    title: 'Echo of 64-byte lines over 16 connections',
    load: ['echo', 'size=64', 'window=1000', 'connections=16'],
    servers: messages,
    target: { tcp: 8, unix: 4.5 },
  },
  {
    ...lines,
    id: 'json',
    title: 'Echo of 64-byte JSON lines, each changed',
    kind: 'json',
    load: ['echo', 'size=64', 'window=1000', 'upper=1', 'json=1'],
    servers: ['rxjs-sockets', 'plain', 'tuned'],
    target: { tcp: 2, unix: 2 },
  },
  {
    ...lines,
    id: 'requests',
    title: 'Requests of 64 bytes and their answers, 100 in flight',
    kind: 'requests',
    load: ['answer', 'size=64'],
    servers: ['rxjs-sockets', 'plain'],
    target: { tcp: 1, unix: 1 },
  },
  {
    id: 'trickle',
    title: '1,000 clients with a line each second',
    kind: 'lines',
    load: ['trickle', 'size=64', 'connections=1000'],
    figure: 'processorTime',
    unit: 'µs of processor time for each line',
    scale: 1,
    better: 'less',
    servers: messages.filter((name) => name !== 'ws'),
    target: { tcp: 1, unix: 1 },
    awake: true,
  },
  {
    id: 'ping-pong',
    title: 'One line in flight, median round trip',
    kind: 'lines',
    load: ['ping', 'size=64'],
    figure: 'median',
    unit: 'µs',
    scale: 1,
    better: 'less',
    servers: messages,
    target: { tcp: 0.95, unix: 0.95 },
    awake: true,
    work: 'message',
  },
  {
    ...churn,
    id: 'churn',
    title: 'Connect, echo one line, close',
    kind: 'lines',
    servers: streams,
    target: { tcp: 1.3, unix: 1.3 },
  },
  {
    ...churn,
    id: 'serve',
    title: 'Connect, echo one line, close, with `serve`',
    kind: 'serve',
    servers: ['rxjs-sockets', 'plain', 'tuned'],
    target: { tcp: 1, unix: 1 },
  },
  {
    id: 'fan-out',
    title: 'Each line to 200 clients',
    kind: 'fanout',
    load: ['fanout', 'size=100', 'window=100', 'connections=200'],
    figure: 'deliveriesPerSecond',
    unit: 'thousand deliveries/s',
    scale: 1e3,
    better: 'more',
    servers: messages,
    target: { tcp: 20, unix: 12 },
  },
  {
    id: 'fan-out-channels',
    title: 'Each line to 200 clients, one `next` each',
    kind: 'channels',
    load: ['fanout', 'size=100', 'window=100', 'connections=200'],
    figure: 'deliveriesPerSecond',
    unit: 'thousand deliveries/s',
    scale: 1e3,
    better: 'more',
    servers: ['rxjs-sockets', 'plain'],
    target: { tcp: 8, unix: 4 },
  },
  {
    id: 'idle',
    title: 'Resident memory per idle connection',
    kind: 'idle',
    load: ['idle'],
    figure: 'bytesPerConnection',
    unit: 'KiB',
    scale: 1024,
    better: 'less',
    servers: streams.filter((name) => name !== 'limit'),
    target: { tcp: 1, unix: 1 },
  },
];

export const servers: readonly string[] = messages;
