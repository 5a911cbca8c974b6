import { join } from 'node:path';
import { EMPTY, lastValueFrom, map, type Observable, repeat, retry, switchMap, takeWhile, tap } from 'rxjs';
import { type AddressInput, connect, type Connection, type ConnectionState, listen, type Server } from 'rxjs-sockets';
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

  // #region again
  const client = connect(address, { codec: lines() });
  const answers = client.pipe(
    tap((state) => {
      follow(state);
    }),
    switchMap((state) => (state.status === 'connected' ? conversation.over(state.connection) : EMPTY)),
    retry({ delay: 200 }), // the connection failed, or there was none
    repeat({ delay: 200 }), // the server has closed it in order
  );
  // #endregion

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
  await lastValueFrom(
    answers.pipe(
      tap(stopHalfway),
      takeWhile((count) => count < wanted),
    ),
  );
  await server.shutdown();

  const { asked, answered, inOrder } = conversation;
  screen.line(`  ${number(answered)} answers`);
  checks.sent += answered;
  checks.inOrder += inOrder;
  checks.that(
    `${number(inOrder)} answers came in order across a restart; ${number(asked - answered)} had to be asked for again`,
    inOrder === wanted && refused >= 3,
  );
}

/** One question after the other: the first over a connection is the one that the connection before left unanswered. */
class Conversation {
  asked = 0;
  answered = 0;
  inOrder = 0;

  /** Gives how many answers there are, after each. */
  over({ data }: Connection<string, string>): Observable<number> {
    const ask = (): void => {
      this.asked++;
      data.next(`question ${this.answered}`);
    };
    ask();
    return data.pipe(
      map((answer) => {
        if (answer === `question ${this.answered++}`) this.inOrder++;
        if (this.answered < wanted) ask();
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
  if (state.status !== 'disconnected' || state.error === undefined) return state.status;
  return `${state.status}: ${state.error.code}`;
}
