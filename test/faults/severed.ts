// A test runs this program in a network namespace. A server and a client talk over an interface that is taken down
// and up again.
import { execFileSync } from 'node:child_process';
import { firstValueFrom } from 'rxjs';
import { backoff, connect, listen } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';

const link = (state: 'up' | 'down'): void => {
  execFileSync('ip', ['link', 'set', 'lo', state]);
};

link('up');
const codec = lines();
const server = listen<string, string>({ port: 0, host: '127.0.0.1' }, { codec, idleTimeout: 300 });
const address = firstValueFrom(server.listening);
const serving = server.subscribe(({ data }) =>
  data.subscribe({ next: (line) => data.next(line), error: () => undefined }),
);
const client = connect<string, string>(await address, {
  codec,
  idleTimeout: 300,
  connectTimeout: 300,
  reconnect: backoff({ initial: 20, max: 20, jitter: 0 }),
});
const events: string[] = [];
const answers: string[] = [];
let asked = 0;
const states = client.subscribe((state) => {
  if (state.status === 'disconnected') {
    events.push(state.error?.code ?? 'clean');
    // The first attempt to reconnect has failed, because the interface is down.
    if (events.length === 2) link('up');
  }
  if (state.status === 'connected') client.data.next(`question ${++asked}`);
});
const data = client.data.subscribe((line) => {
  answers.push(line);
  if (answers.length === 1) {
    link('down');
    return;
  }
  states.unsubscribe();
  data.unsubscribe();
  serving.unsubscribe();
  console.log(JSON.stringify({ events, lines: answers }));
});
