/** A measurement of how the cost of one kind of work grows with the number of items. */
export interface Series {
  readonly id: string;
  readonly title: string;
  /** The name of the items, such as `connections`. */
  readonly of: string;
  /** A description of the measured task. A task has `n` items. */
  readonly task: string;
  readonly points: readonly number[];
  /**
   * Whether simpler servers do the same work. If the cost of a simpler server grows as much, this library is not the
   * cause of the growth.
   */
  readonly beside: boolean;
  /** The server's task: see `servers/command-line.js`. */
  readonly kind: (n: number) => string;
  /** The load generator's task. `share` is the fraction of the usual work; 1 is all of the usual work. */
  readonly load: (n: number, share: number) => Load;
}

export interface Load {
  readonly mode: 'burst' | 'steady' | 'members';
  readonly args: readonly string[];
  /** How many times one sample does the task. */
  readonly times: number;
}

/** Returns how many tasks with `n` items each have about `total` items together. The result is at least 1. */
const repeats = (total: number, n: number): number => Math.max(1, Math.round(total / n));

const tens = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => 10 ** (from + index));

export const series: readonly Series[] = [
  {
    id: 'connections',
    title: 'Connections that come and go',
    of: 'connections',
    task: 'open them, echo a line on each, and end them once all are open',
    points: tens(1, 4),
    beside: true,
    kind: () => 'lines',
    load: (n, share) => {
      const times = repeats(3_000 * share, n);
      return { mode: 'burst', args: [`connections=${n}`, `repeat=${times}`], times };
    },
  },
  {
    id: 'open',
    title: 'Connections that are open',
    of: 'connections',
    task: 'echo a line on each, with up to ten in flight',
    points: tens(1, 4),
    beside: true,
    kind: () => 'lines',
    load: (n, share) => ({
      mode: 'steady',
      args: [`connections=${n}`, 'window=10'],
      // `times` is a multiple of `window`, so that each connection has ten messages in flight, however many connections
      // there are.
      times: 10 * repeats(20_000 * share, n),
    }),
  },
  {
    id: 'messages',
    title: 'Messages of one stream',
    of: 'messages',
    task: 'echo them through one `map`, over a new connection, with up to 1,000 in flight',
    points: tens(3, 7),
    beside: true,
    kind: () => 'lines',
    load: (n, share) => {
      const times = repeats(200_000 * share, n);
      return { mode: 'burst', args: [`messages=${n}`, 'window=1000', `repeat=${times}`], times };
    },
  },
  {
    id: 'sizes',
    title: 'Bytes of a message',
    of: 'bytes',
    task: 'echo a message of that size, framed by its length, through one `map`, with up to 64 KiB in flight',
    points: [...tens(0, 7), 1 << 24],
    beside: true,
    kind: () => 'frames',
    load: (n, share) => ({
      mode: 'steady',
      args: [`size=${n}`, 'prefix=1', `window=${Math.min(1_000, repeats(65_536, n))}`],
      times: Math.min(repeats(200_000 * share, 1), repeats(300_000_000 * share, n)),
    }),
  },
  {
    id: 'operators',
    title: 'Operators',
    of: '`map`s',
    task: 'echo a line of 64 bytes through them, with up to 1,000 in flight',
    points: [0, 1, 2, 5, 10],
    beside: false,
    kind: (n) => `maps${n}`,
    load: (_n, share) => ({ mode: 'steady', args: ['window=1000'], times: repeats(500_000 * share, 1) }),
  },
  {
    id: 'members',
    title: 'Members of a Broadcast',
    of: 'members',
    task: 'send a line of 100 bytes to all, ten at a time',
    points: [1, 5, 50, 500, 5_000],
    beside: true,
    kind: () => 'fanout',
    load: (n, share) => ({
      mode: 'members',
      args: [`connections=${n}`, 'size=100', 'window=10'],
      times: 10 * repeats(50_000 * share, n),
    }),
  },
];
