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
import { type Checks, number } from './checks.js';
import type { Screen } from './screen.js';

const wanted = 3_000;

/** A server that stops in the middle and comes back, and a client that dials again and goes on where it was. */
export async function restart(screen: Screen, checks: Checks, folder: string): Promise<void> {
  screen.heading('3. A server that restarts, and a client that dials again');
  const address = { path: join(folder, 'restart') };
  let server = startServer(address);
  let stopped = false;
  let refused = 0;
  const conversation = new Conversation();

  const follow = (state: ConnectionState<string, string>): void => {
    screen.line(`  ${describe(state)}`);
    if (state.status !== 'disconnected' || state.error === undefined || ++refused !== 3) return;
    screen.line('  the server starts again');
    server = startServer(address);
  };
  const stopHalfway = (count: number): void => {
    if (stopped || count < wanted / 2) return;
    stopped = true;
    screen.line(`  ${number(count)} answers; the server stops`);
    void server.shutdown();
  };

  // #region again
  const client = connect(address, { codec: lines(), reconnect: backoff({ initial: 200, max: 800 }) });
  client.subscribe((state) => {
    follow(state);
    if (state.status === 'connected') conversation.ask(client.data); // the connection before may have left it unanswered
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

  const { asked, answered } = conversation;
  screen.line(`  ${number(answered)} answers`);
  checks.sent += answered;
  checks.inOrder += answered;
  checks.that(
    `${number(answered)} answers came in order across a restart; ${number(asked - answered)} had to be asked for again`,
    answered === wanted && refused >= 3,
  );
}

/** One question after the other, on a channel that lives on from connection to connection. */
class Conversation {
  asked = 0;
  answered = 0;

  ask(data: Channel<string>): void {
    this.asked++;
    data.next(`question ${this.answered}`);
  }

  /** Gives how many answers there are, after each. A question that was asked again may be answered twice. */
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
