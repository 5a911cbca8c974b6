import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Parses the server's task from the command line: `<kind> tcp` for any port, or `<kind> unix:<path>`. The kind
 * `changed` becomes the kind `lines`, and in that case, `transform` changes each line.
 *
 * - `serve`: like `lines`; this library uses `serve`
 * - `json`: a line is an object as JSON. Its property `TEXT` is changed.
 * - `requests`: the server sends lines, and the client answers each with the same line. There are always 100 lines
 *   without an answer.
 *
 * @typedef {'lines' | 'serve' | 'json' | 'requests' | 'echo' | 'sink' | 'fanout' | 'channels' | 'idle' | 'frames' | `maps${number}`} Kind
 * @returns {{ kind: Kind, path: string | undefined }}
 */
export function task() {
  const [, , asked, where = 'tcp'] = process.argv;
  const kind = asked === 'changed' ? 'lines' : asked;
  return { kind: /** @type {Kind} */ (kind), path: where === 'tcp' ? undefined : where.slice('unix:'.length) };
}

/**
 * Makes the listen options of a `node:net` server. All servers use the same length of the queue for new clients.
 *
 * @param {string | undefined} path
 */
export function place(path) {
  return { ...(path === undefined ? { port: 0, host: '127.0.0.1' } : { path }), backlog: 4096 };
}

/**
 * Prints the server's address, answers questions about the server's processor time and memory, and ends the process
 * when the standard input ends.
 *
 * @param {string | undefined} path
 * @param {number} port
 */
export function announce(path, port) {
  print({ address: path === undefined ? `tcp:${port}` : `unix:${path}` });
  process.stdin.setEncoding('utf8');
  process.stdin.on('data', (/** @type {string} */ text) => {
    for (const question of text.trim().split('\n')) {
      if (question === 'cpu') print(process.cpuUsage());
      else if (question === 'memory') {
        collect();
        print({ rss: process.memoryUsage.rss() });
      }
    }
  });
  process.stdin.on('end', () => process.exit(0));
}

/**
 * The application's work for a line. This work takes very little time.
 *
 * @type {(line: string) => string}
 */
export const transform = process.argv[2] === 'changed' ? (line) => line.toUpperCase() : (line) => line;

/** How many requests the server keeps without an answer. */
export const inFlight = 100;

/**
 * Returns the line of a request. It has 64 bytes with its line feed.
 *
 * @param {number} index
 */
export const question = (index) => String(index).padStart(63, '.');

/**
 * Keeps {@link inFlight} requests without an answer, until `ask` rejects.
 *
 * @param {(line: string) => Promise<string>} ask
 */
export function keepAsking(ask) {
  let asked = 0;
  const one = async () => {
    for (;;) {
      const line = question(asked++);
      if ((await ask(line)) !== line) throw new Error('an answer is wrong');
    }
  };
  for (let index = 0; index < inFlight; index++) one().catch(exitUnlessClosed);
}

/** @param {unknown} error */
function exitUnlessClosed(error) {
  if (error instanceof Error && error.message === 'an answer is wrong') process.exit(1);
}

/** @param {object} answer */
function print(answer) {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

function collect() {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc');
  for (let i = 0; i < 3; i++) gc();
}
