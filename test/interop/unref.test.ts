import { formatAddress } from 'rxjs-sockets';
import { toNodeStream } from 'rxjs-sockets/interop';
import { describe, expect, it } from 'vitest';
import { program } from '../examples/program.js';
import '../support/leaks.js';
import { allRealPlaces } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { isSecure } from '../support/sockets/plain-sockets.js';

/** Starts a process that connects, makes `calls` on its stream, and ends the stream after the server's FIN. */
function idleProcess(address: string, isTls: boolean, calls: string): ReturnType<typeof program> {
  const options = isTls ? '{ tls: { rejectUnauthorized: false } }' : '{}';
  const code = `
    import { connect } from 'rxjs-sockets';
    import { toNodeStream } from 'rxjs-sockets/interop';
    const stream = toNodeStream(connect('${address}', ${options}));
    stream.on('connect', () => stream.write('connected'));
    stream.once('data', () => stream${calls});
    stream.on('end', () => stream.end(() => console.log('ended in order')));
  `;
  return program(['--input-type=module', '--eval', code]);
}

describe.each(allRealPlaces.filter(({ name }) => name === 'tcp' || name === 'tls'))('unref over $name', (place) => {
  it('I2: lets the process exit while the connection is open, unless ref() is called afterwards', async () => {
    const { address } = await serverAt(place, (connection) => {
      const stream = toNodeStream(connection);
      stream.on('error', () => undefined);
      stream.once('data', () => {
        stream.write('you are');
        // The process `staying` must not end before the process `leaving` has exited.
        void leaving.ended.then(() => stream.end());
      });
      stream.resume();
    });
    // An http.Agent calls `setTimeout` and `unref` on an idle connection. The timeout also keeps no process alive.
    const leaving = idleProcess(formatAddress(address), isSecure(address), '.setTimeout(600_000).unref()');
    const staying = idleProcess(formatAddress(address), isSecure(address), '.unref().ref()');
    expect([await leaving.ended, leaving.errors, leaving.output]).toEqual([0, '', '']);
    expect([await staying.ended, staying.errors, staying.output]).toEqual([0, '', 'ended in order\n']);
  });
});
