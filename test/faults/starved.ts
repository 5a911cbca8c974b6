// A test runs this program. The program has no free descriptors when its client dials, and frees some later.
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
    // No descriptor is free.
  }
}

const client = connect<string, string>(address!, {
  codec: lines(),
  reconnect: {
    delay: (_error, attempt) =>
      timer(5).pipe(
        // Loading this program frees some descriptors. So they are taken again right before the client dials.
        tap(() => {
          if (attempt === 1) takeAll();
          else for (const fd of taken.splice(0)) closeSync(fd);
        }),
      ),
  },
});

takeAll();
const events: string[] = [];
const states = client.subscribe((state) => {
  events.push(state.status === 'disconnected' ? (state.error?.code ?? 'clean') : state.status);
});
const data = client.data.subscribe((line) => {
  states.unsubscribe();
  data.unsubscribe();
  console.log(JSON.stringify({ events, line }));
});
client.data.next('hello');
