/** The error messages of a PostgreSQL client, with advice. */
import pg from 'pg';
import { SocketError } from 'rxjs-sockets';

/**
 * Advice for errors from the server, by error code. See https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const advice: Readonly<Record<string, string>> = {
  '28000':
    'pg_hba.conf of the server has to allow this user, database and address; perhaps only with PGSSLMODE=require.',
  '28P01': 'Set PGPASSWORD to the password of this user.',
  '3D000': 'To list them: SELECT datname FROM pg_database, in the database postgres.',
  '42601': 'Correct the statement there.',
  '53300': 'Try again later.',
  '57P01': 'The rows so far are not the whole result. Try again later.',
  '57P02': 'The rows so far are not the whole result. Try again later.',
  '57P03': 'Try again in a moment.',
};

/** Advice if the server cannot be reached, by error code. */
const unreachable: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'Start PostgreSQL, or correct the address: see listen_addresses and port in postgresql.conf.',
  ENOENT: 'Start PostgreSQL, or correct the path: it is called .s.PGSQL.PORT, and lies in unix_socket_directories.',
  EACCES: 'Ask for write permission on the socket: see unix_socket_permissions in postgresql.conf.',
  ENOTFOUND: 'Correct the host name.',
};

const noTls = 'The server does not support SSL connections';
const lost = 'The connection has ended before the result was complete. Try again.';

/**
 * Whether a different TLS setting may help after this error. If the server has no TLS, the error of `pg` has no code,
 * so this function compares the message.
 */
export function isRefusal(error: unknown): boolean {
  return error instanceof Error && (error.message === noTls || ('code' in error && error.code === '28000'));
}

export function explained(error: unknown, sql: string): string {
  if (error instanceof pg.DatabaseError) {
    const { severity, message, detail, hint, position, code } = error;
    const lines = [`${severity}: ${message}`, detail, marked(sql, Number(position)), hint ?? advice[code ?? '']];
    return lines.filter((line) => line !== undefined).join('\n');
  }
  if (!(error instanceof Error)) return String(error);
  // If the connection uses TLS, the end of the connection may be reported as EPIPE.
  if ('code' in error && error.code === 'EPIPE') return lost;
  return [error.message, adviceFor(error)].filter((line) => line !== undefined).join('\n');
}

function adviceFor(error: Error): string | undefined {
  const { message } = error;
  const code = 'code' in error ? String(error.code) : '';
  if (message === noTls) return 'Set ssl = on in postgresql.conf, or PGSSLMODE=disable here.';
  if (message === 'timeout expired')
    return 'The server is too slow, or it is not PostgreSQL. Correct the address, or try again.';
  if (message.includes('password must be')) return 'The server asks for a password: set PGPASSWORD.';
  if (/CERT|ISSUER|SIGNATURE|ALTNAME/.test(code)) {
    return 'Set PGSSLROOTCERT to the certificate of an authority that you trust, or dial the name in the certificate.';
  }
  if (code === 'ECONNRESET' || message.startsWith('Connection terminated')) return lost;
  return error instanceof SocketError ? unreachable[error.code] : undefined;
}

/** Formats the line of `sql` that has the character at `position` (from 1), and a mark below that character. */
function marked(sql: string, position: number): string | undefined {
  if (!(position > 0)) return undefined;
  const characters = [...sql]; // PostgreSQL counts characters, and JavaScript counts UTF-16 units
  const before = characters
    .slice(0, position - 1)
    .join('')
    .split('\n');
  const after = characters
    .slice(position - 1)
    .join('')
    .split('\n', 1);
  const start = before.at(-1) ?? '';
  return `LINE ${before.length}: ${start}${after.join('')}\n${' '.repeat(`LINE ${before.length}: ${start}`.length)}^`;
}
