import { join } from 'node:path';
import { filter, lastValueFrom, map, type Observable, takeWhile, tap } from 'rxjs';
import {
  type AddressInput,
  backoff,
  type Channel,
  connect,
  type ConnectionState,
  listen,
  type Server,
} from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { type Checks, type Claim, number } from './checks.js';
import type { Screen } from './screen.js';

const wanted = 3_000;
/** When the client has tried in vain to connect this many times, the server starts again. */
const triesInVain = 3;

const meanings: Readonly<Record<string, string>> = { ENOENT: 'no socket file', ECONNREFUSED: 'nobody listens' };

interface Restart {
  readonly asked: number;
  readonly answered: number;
  readonly connections: number;
  readonly failures: readonly string[];
}

export function restartClaims({ asked, answered, connections, failures }: Restart): Claim[] {
  return [
    [
      `all ${number(answered)} answers came in order, though ${asked - answered} had to be asked for again`,
      answered === wanted && asked > wanted && connections === 2 && failures.length >= triesInVain,
    ],
  ];
}

/**
 * Stops a server when half of the answers have arrived, and later starts the server again. The client reconnects, and
 * continues to ask.
 */
export async function restart(screen: Screen, checks: Checks, folder: string): Promise<void> {
  screen.heading('3. Reconnect: a server stops, and its client tries to connect until it is back');
  const address = { path: join(folder, 'restart') };
  let server = startServer(address);
  let stoppedAfter = 0;
  let connections = 0;
  let connecting = false;
  const failures: string[] = [];
  const conversation = new Conversation();

  const follow = (state: ConnectionState<string, string>): void => {
    screen.status(`   ${describe(state)}`);
    if (state.status === 'connected') connections++;
    if (connecting && state.status === 'disconnected') {
      failures.push(state.error?.code ?? 'no error');
      if (failures.length === triesInVain) server = startServer(address);
    }
    connecting = state.status === 'connecting';
  };
  const stopHalfway = (count: number): void => {
    if (stoppedAfter > 0 || count < wanted / 2) return;
    stoppedAfter = count;
    void server.shutdown();
  };

  // #region again
  const client = connect(address, { codec: lines(), reconnect: backoff({ initial: 200, max: 800 }) });
  client.subscribe((state) => {
    follow(state);
    if (state.status === 'connected') conversation.ask(client.data); // the latest question may still have no answer
  });
  // #endregion

  await lastValueFrom(
    conversation.over(client.data).pipe(
      tap(stopHalfway),
      takeWhile((count) => count < wanted),
    ),
  );
  const ended = lastValueFrom(client);
  client.data.complete();
  await server.shutdown();
  await ended;

  const [code = ''] = failures;
  screen.line(
    `   it stopped after ${number(stoppedAfter)} answers; ` +
      `${failures.length} tries failed (${code}: ${meanings[code] ?? 'no server'})`,
  );
  const { asked, answered } = conversation;
  checks.sent += answered;
  checks.inOrder += answered;
  checks.that(...restartClaims({ asked, answered, connections, failures }));
}

/** Asks one question at a time on the channel of a client. The channel sends on whichever connection is open. */
class Conversation {
  asked = 0;
  answered = 0;

  ask(data: Channel<string>): void {
    this.asked++;
    data.next(`question ${this.answered}`);
  }

  /**
   * After each answer, emits the number of answers so far. If a question was repeated, ignores the second answer to
   * that question.
   */
  over(data: Channel<string>): Observable<number> {
    return data.pipe(
      filter((answer) => answer === `question ${this.answered}`),
      map(() => {
        if (++this.answered < wanted) this.ask(data);
        return this.answered;
      }),
    );
  }
}

function startServer(address: AddressInput): Server<string, string> {
  const server = listen(address, { codec: lines() });
  server.subscribe(({ data }) => data.subscribe(data));
  return server;
}

function describe(state: ConnectionState<string, string>): string {
  if (state.status === 'waiting') return `${state.status} ${Math.round(state.delay)} ms`;
  if (state.status !== 'disconnected' || state.error === undefined) return state.status;
  return `${state.status}: ${state.error.code}`;
}
