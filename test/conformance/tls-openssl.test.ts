import { join } from 'node:path';
import { firstValueFrom } from 'rxjs';
import { type Address, type Connection } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { openssl } from '../support/transport/node/tls/openssl.js';
import { file } from '../support/transport/node/tls/certificates.js';
import { shows } from '../support/processes/run-program.js';
import { freshFolder, securePlaces } from '../support/transport/places.js';
import { clientAt, serverAt } from '../support/connection/connected-pairs.js';
import { record } from '../support/recording/record.js';

describe.each(securePlaces)("OpenSSL's tools, over $name", (place) => {
  const at = (address: Address): string[] =>
    address.transport === 'tcp'
      ? ['-connect', `127.0.0.1:${address.port}`, '-servername', 'localhost']
      : ['-unix', (address as { path: string }).path];

  it.each(['-tls1_2', '-tls1_3'])(
    'C1: with %s, s_client verifies the server, gets an answer, and ends cleanly',
    async (version) => {
      let accepted: (connection: Connection<string, string>) => void = () => undefined;
      const connected = new Promise<Connection<string, string>>((resolve) => {
        accepted = resolve;
      });
      const { address } = await serverAt<string, string>(place, (connection) => accepted(connection), {
        codec: lines(),
        tls: { ...place.options.tls, requestCert: true },
      });
      const trust = ['-CAfile', file('authority.pem'), '-verify_return_error', '-verify_hostname', 'localhost'];
      const identity = ['-cert', file('client.pem'), '-key', file('client.key')];
      const child = openssl('s_client', version, ...trust, ...identity, ...at(address));
      const { data, closed, tls } = await connected;
      expect(tls).toMatchObject({ authorized: true, peerCertificate: { subject: { CN: 'somebody' } } });
      const recording = record(data, (line) => data.next(`you said ${line}`));
      child.stdin.write('hello\n');
      await shows(child, /you said hello/);
      child.stdin.end();
      expect(await recording.end()).toBe('complete');
      data.complete();
      expect(await firstValueFrom(closed)).toMatchObject({ reason: 'finished' });
    },
  );

  // s_server cannot use a unix socket whose path is longer than 31 bytes.
  it.runIf(place.name === 'tls')('C1: a client verifies s_server, and gets an answer', async () => {
    const identity = ['-cert', file('server.pem'), '-key', file('server.key')];
    const child = openssl('s_server', '-rev', ...identity, '-accept', '127.0.0.1:0');
    const [, port = '0'] = await shows(child, /ACCEPT \S*:(\d+)\n/);
    const address: Address = { transport: 'tcp', host: '127.0.0.1', port: Number(port), tls: true };
    const { connection } = await clientAt<string, string>(place, address, { codec: lines() });
    const recording = record(connection.data);
    connection.data.next('abc');
    expect(await recording.count(1)).toEqual(['cba']);
    expect(connection.tls).toMatchObject({ authorized: true, peerCertificate: { subject: { CN: 'localhost' } } });
    connection.data.complete();
    await firstValueFrom(connection.closed);
  });

  it.each(['-tls1_2', '-tls1_3'])('T11: with %s, s_client resumes its session with a server', async (version) => {
    const { address } = await serverAt<string, string>(place, ({ data }) => data.subscribe(data), { codec: lines() });
    const session = join(await freshFolder(), 'session.pem');
    const answers: string[] = [];
    for (const option of ['-sess_out', '-sess_in']) {
      const child = openssl('s_client', version, '-CAfile', file('authority.pem'), option, session, ...at(address));
      child.stdin.write('hello\n');
      const [, answer = ''] = await shows(child, /\n(New|Reused), TLSv[^]*hello\n/);
      answers.push(answer);
      const ended = new Promise((resolve) => child.once('close', resolve));
      child.stdin.end();
      await ended;
    }
    expect(answers).toEqual(['New', 'Reused']);
  });

  it.runIf(place.name === 'tls').each(['-tls1_2', '-tls1_3'])(
    'T11: with %s, a client resumes its session with s_server',
    async (version) => {
      const identity = ['-cert', file('server.pem'), '-key', file('server.key')];
      const child = openssl('s_server', '-www', version, ...identity, '-accept', '127.0.0.1:0');
      const [, port = '0'] = await shows(child, /ACCEPT \S*:(\d+)\n/);
      const address: Address = { transport: 'tcp', host: '127.0.0.1', port: Number(port), tls: true };
      /** Gets the server's report on the connection. Returns the line about the session, and the new session. */
      const visit = async (session?: Buffer) => {
        const tls = { ...place.options.tls, session };
        const { connection } = await clientAt<string, string>(place, address, { codec: lines(), tls });
        const page = record(connection.data);
        connection.bytes.next('GET / HTTP/1.0\r\n\r\n');
        await page.end();
        return { said: page.values.find((line) => /^(New|Reused), /.test(line)), session: connection.tls?.session };
      };
      const first = await visit();
      expect(first.said).toMatch(/^New, TLSv/);
      expect((await visit(first.session)).said).toMatch(/^Reused, TLSv/);
    },
  );
});
