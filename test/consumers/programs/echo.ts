// A test bundles this program, and runs it without installed packages.
import { connect, listen } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';

const server = listen('tcp://localhost:0', { codec: lines() });
server.subscribe(({ data }) => data.subscribe(data));
server.listening.subscribe((address) => {
  const client = connect(address, { codec: lines() });
  client.data.subscribe({
    next: (line) => console.log(line),
    complete: () => void server.shutdown(),
  });
  client.data.next('hello');
  client.data.complete();
});
