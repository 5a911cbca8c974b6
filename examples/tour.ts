/**
 * A tour of the library, on real sockets, in about fifteen seconds: `npm start`.
 *
 * It ends by itself, with a status that is not 0 if anything that it claims does not hold.
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
const checks = new Checks();
const folder = await mkdtemp(join(tmpdir(), 'tour-'));

screen.line('rxjs-sockets: TCP and unix sockets as RxJS observables, ordered and back-pressured');
try {
  await twoTransports(screen, checks, folder);
  await slowConsumer(screen, checks);
  await restart(screen, checks, folder);
  await broadcast(screen, checks, folder);
} finally {
  await rm(folder, { recursive: true });
}
checks.show(screen);
process.exitCode = checks.passed ? 0 : 1;
