// A process that has no descriptor left when it dials, and frees some then: what the test of few descriptors starts.
import { closeSync, openSync } from 'node:fs';
import { backoff, connect } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';

const [address] = process.argv.slice(2);
const client = connect<string, string>(address!, {
  codec: lines(),
  reconnect: backoff({ initial: 5, max: 5, jitter: 0 }),
});
const taken: number[] = [];

function takeAll(): void {
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'));
  } catch {
    // None is left.
  }
}

takeAll();
const told: string[] = [];
const states = client.subscribe((state) => {
  told.push(state.status === 'disconnected' ? (state.error?.code ?? 'clean') : state.status);
  // At the second try there are some.
  if (state.status === 'waiting' && state.attempt === 2) for (const fd of taken.splice(0)) closeSync(fd);
});
const data = client.data.subscribe((line) => {
  states.unsubscribe();
  data.unsubscribe();
  console.log(JSON.stringify({ told, line }));
});
client.data.next('hello');
