// A process that has no descriptor left when it dials, and frees some then: what the test of few descriptors starts.
import { closeSync, openSync } from 'node:fs';
import { tap, timer } from 'rxjs';
import { connect } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';

const [address] = process.argv.slice(2);
const taken: number[] = [];

function takeAll(): void {
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'));
  } catch {
    // None is left.
  }
}

const client = connect<string, string>(address!, {
  codec: lines(),
  reconnect: {
    delay: (_error, attempt) =>
      timer(5).pipe(
        // Right before the client dials again, since what has loaded this program gives some back while it runs.
        tap(() => {
          if (attempt === 1) takeAll();
          else for (const fd of taken.splice(0)) closeSync(fd);
        }),
      ),
  },
});

takeAll();
const told: string[] = [];
const states = client.subscribe((state) => {
  told.push(state.status === 'disconnected' ? (state.error?.code ?? 'clean') : state.status);
});
const data = client.data.subscribe((line) => {
  states.unsubscribe();
  data.unsubscribe();
  console.log(JSON.stringify({ told, line }));
});
client.data.next('hello');
