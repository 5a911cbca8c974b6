// echo.mjs ADDRESS [KEY CERTIFICATE CA]: sends lines to its own echo server, and prints how many return in order.
import { readFileSync } from 'node:fs';
import { connect, listen } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';

const [address, ...files] = process.argv.slice(2);
const [key, cert, ca] = files.map((file) => readFileSync(file));
const options = { codec: lines(), ...(ca === undefined ? {} : { tls: { key, cert, ca } }) };
const count = 1_000;

const server = listen(address, options);
server.subscribe(({ data }) => data.subscribe(data));
server.listening.subscribe((bound) => {
  const client = connect(bound, options);
  let received = 0;
  client.data.subscribe({
    next: (line) => {
      if (line !== `line ${received++}`) throw new Error(`not the line that is due: ${line}`);
    },
    complete: () => {
      console.log(`${received} of ${count}`);
      void server.shutdown();
    },
  });
  for (let number = 0; number < count; number++) client.data.next(`line ${number}`);
  client.data.complete();
});
