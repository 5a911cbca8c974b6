// The types of `rxjs-sockets/ix` need the types of ix, and the types of ix need the types of the DOM.
import { connect } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { pull } from 'rxjs-sockets/ix';

const { data } = connect('tcp://localhost:7000', { codec: lines() });

export async function count(): Promise<number> {
  let lines = 0;
  for await (const batch of pull(data, { batch: 100 })) lines += batch.length;
  return lines;
}
