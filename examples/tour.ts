/**
 * A tour of the library, on real sockets: `npm start`.
 *
 * If a claim of the tour does not hold, the exit status of the program is not 0.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { broadcast } from './tour/broadcast.js';
import { Checks } from './tour/checks.js';
import { restart } from './tour/restart.js';
import { Screen } from './tour/screen.js';
import { slowConsumer } from './tour/slow-consumer.js';
import { twoTransports } from './tour/two-transports.js';

const screen = new Screen(process.stdout, process.env);
const checks = new Checks(screen);
const folder = await mkdtemp(join(tmpdir(), 'tour-'));

screen.line('A tour of rxjs-sockets, on real sockets. Each line with "ok" was just checked.');
try {
  for (const part of [twoTransports, slowConsumer, restart, broadcast]) await part(screen, checks, folder);
} catch (error) {
  checks.that([`the tour came to its end: ${String(error)}`, false]);
} finally {
  await rm(folder, { recursive: true });
}
checks.summarize();
// A failed part of the tour may have left sockets open, and an open socket would keep the process alive.
if (!checks.passed) process.exit(1);
