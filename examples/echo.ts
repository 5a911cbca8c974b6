/**
 * An echo server: it sends every line back to the client, as fast as the client reads.
 *
 *     npx tsx --conditions=rxjs-sockets-source examples/echo.ts                       runs a demonstration
 *     npx tsx --conditions=rxjs-sockets-source examples/echo.ts tcp://localhost:7000  serves until Ctrl-C
 */
import { firstValueFrom } from 'rxjs';
import { connect, formatAddress, listen } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';

const where = process.argv[2];

// #region server
const server = listen(where ?? { port: 0 }, { codec: lines() });
server.listening.subscribe((address) => {
  console.log(`listening at ${formatAddress(address)}`);
});
server.subscribe(({ data }) => data.subscribe(data));
// #endregion

// #region stop
process.once('SIGINT', () => {
  void server.shutdown();
});
// #endregion

if (where === undefined) {
  const address = await firstValueFrom(server.listening);
  // #region client
  const client = connect(address, { codec: lines() });
  client.data.next('one');
  client.data.next('two');
  client.data.complete(); // ends the client's sending side; the echo still arrives at the client
  for await (const line of client.data) console.log(`echo: ${line}`);
  // #endregion
  await server.shutdown();
}
