import { formatAddress } from 'rxjs-sockets';
import { toNodeStream } from 'rxjs-sockets/interop';
import { describe, expect, it } from 'vitest';
import { program } from '../examples/program.js';
import '../support/leaks.js';
import { allRealPlaces } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { isSecure } from '../support/sockets/plain-sockets.js';

/** Starts a process that only connects, and ends its stream when the server does. */
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
  it('I2: lets the process exit while the connection is open, until ref() is called', async () => {
    const { address } = await serverAt(place, (connection) => {
      const stream = toNodeStream(connection);
      stream.on('error', () => undefined);
      stream.once('data', () => {
        stream.write('you are');
        // The process that stays may end only after the other process has exited.
        void leaving.ended.then(() => stream.end());
      });
      stream.resume();
    });
    // An http.Agent makes these calls on an idle connection. The timeout does not keep the process alive either.
    const leaving = idleProcess(formatAddress(address), isSecure(address), '.setTimeout(600_000).unref()');
    const staying = idleProcess(formatAddress(address), isSecure(address), '.unref().ref()');
    expect([await leaving.ended, leaving.errors, leaving.output]).toEqual([0, '', '']);
    expect([await staying.ended, staying.errors, staying.output]).toEqual([0, '', 'ended in order\n']);
  });
});
