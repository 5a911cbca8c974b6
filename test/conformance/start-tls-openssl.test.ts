import { once } from 'node:events';
import { firstValueFrom } from 'rxjs';
import type { Address, Closed, Connection } from 'rxjs-sockets';
import { fixedLength, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { openssl } from '../support/transport/node/tls/openssl.js';
import { file } from '../support/transport/node/tls/certificates.js';
import { run, shows } from '../support/processes/run-program.js';
import { realPlaces, tcp } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { asServer } from '../support/connection/start-tls.js';

const codec = lines({ delimiter: '\r\n' });

/** Greets, then answers each line as `answer` says. If `answer` returns undefined, sends `go` and starts TLS. */
async function talk(
  connection: Connection<string, string>,
  greeting: string,
  go: string,
  answer: (line: string) => string[] | undefined,
): Promise<void> {
  const { data } = connection;
  data.next(greeting);
  for await (const line of data) {
    const said = answer(line);
    for (const text of said ?? [go]) data.next(text);
    if (said === undefined) await connection.startTls({ ...asServer, allowHalfClosed: true });
  }
  data.complete();
}

describe.each(realPlaces)("OpenSSL's tools and STARTTLS, over $name", (place) => {
  const at = (address: Address): string[] =>
    address.transport === 'tcp'
      ? ['-connect', `127.0.0.1:${address.port}`]
      : ['-unix', (address as { path: string }).path];
  const trust = ['-CAfile', file('authority.pem'), '-verify_return_error', '-verify_hostname', 'localhost'];

  it.each([
    ['smtp', '220 here', '220 go ahead', 'STARTTLS', ['250-here', '250 STARTTLS']],
    ['ftp', '220 here', '234 go ahead', 'AUTH TLS', ['500 no']],
    ['pop3', '+OK here', '+OK go ahead', 'STLS', ['-ERR no']],
    ['imap', '* OK here', '. OK go ahead', '. STARTTLS', ['* CAPABILITY IMAP4 STARTTLS', '. OK done']],
  ])(
    'T10: s_client starts TLS in the protocol %s, verifies the server, gets an answer, and ends cleanly',
    async (name, greeting, go, command, other) => {
      let closed: Promise<Closed> | undefined;
      const { address } = await serverAt<string, string>(
        place,
        (connection) => {
          closed = firstValueFrom(connection.closed);
          void talk(connection, greeting, go, (line) => {
            if (line === command) return undefined;
            return line === 'hello' ? [`hello to ${connection.tls?.protocol ?? 'nobody'}`] : other;
          });
        },
        { codec },
      );
      const child = openssl('s_client', '-starttls', name, ...trust, '-quiet', '-no_ign_eof', '-crlf', ...at(address));
      child.stdin.write('hello\n');
      await shows(child, /hello to TLSv1\.3/);
      child.stdin.end();
      expect(await closed).toMatchObject({ reason: 'finished' });
    },
  );

  it("T10: s_client starts TLS with PostgreSQL's binary request", async () => {
    let closed: Promise<Closed> | undefined;
    const { address } = await serverAt(place, (connection) => {
      closed = firstValueFrom(connection.closed);
      void (async () => {
        const request = await firstValueFrom(connection.bytes.framed(fixedLength(8)));
        expect(request.toString('hex')).toBe('0000000804d2162f');
        connection.bytes.next('S');
        await connection.startTls(asServer);
        connection.data.subscribe(connection.data);
      })();
    });
    const child = openssl('s_client', '-starttls', 'postgres', ...trust, '-quiet', '-no_ign_eof', ...at(address));
    child.stdin.write('hello\n');
    await shows(child, /hello\n/);
    child.stdin.end();
    expect(await closed).toMatchObject({ reason: 'finished' });
  });
});

it('T10: curl sends a mail over STARTTLS, and refuses a server that it cannot verify', async () => {
  const mails: string[] = [];
  const { address } = await serverAt<string, string>(
    tcp,
    (connection) => {
      let isBody = false;
      void talk(connection, '220 here', '220 go ahead', (line) => {
        if (isBody) {
          mails.push(line);
          isBody = line !== '.';
          return isBody ? [] : ['250 taken'];
        }
        if (line === 'STARTTLS') return undefined;
        if (connection.tls === undefined) return line.startsWith('EHLO') ? ['250-here', '250 STARTTLS'] : ['530 no'];
        isBody = line === 'DATA';
        return [isBody ? '354 go on' : '250 ok'];
      }).catch(() => undefined);
    },
    { codec },
  );
  const port = address.transport === 'tcp' ? address.port : 0;
  const send = (...trust: string[]) => {
    const args = ['--ssl-reqd', '--mail-from', 'a@test', '--mail-rcpt', 'b@test', '-T', '-'];
    const curl = run('curl', '-sS', '--noproxy', '*', ...trust, ...args, `smtp://127.0.0.1:${port}/client.test`);
    curl.stdin.end('Subject: hello\r\n\r\nA mail.\r\n');
    return once(curl, 'close');
  };
  expect(await send('--cacert', file('authority.pem'))).toEqual([0, null]);
  expect(mails).toEqual(['Subject: hello', '', 'A mail.', '.']);
  expect(await send('--cacert', file('stranger.pem'))).toEqual([60, null]);
  expect(mails).toHaveLength(4);
});
