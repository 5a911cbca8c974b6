/** An FTP client: the login, the replies, and the data connections. */
import { firstValueFrom, timeout } from 'rxjs';
import { type Address, connect, type Connection, requests, type RequestsInOrder, SocketError } from 'rxjs-sockets';
import { replies, type Reply } from './replies.js';

type TcpAddress = Extract<Address, { transport: 'tcp' }>;

const replyTimeout = 30_000; // ms
const stallTimeout = 60_000; // ms

/**
 * With `auto`, the client uses TLS if the server supports TLS. With `required`, the client always uses TLS. With `off`,
 * the client does not ask for TLS. If TLS is used, the server's certificate has to be valid.
 */
export type TlsPolicy = 'auto' | 'required' | 'off';

export class FtpError extends Error {
  override readonly name = 'FtpError';
  readonly code: number;

  /** @param refused - the refused request. For a command, pass only the verb, because a password may follow the verb */
  constructor(refused: string, { code, lines }: Reply) {
    super(`The server refuses ${refused}: ${code} ${lines.join(' ')}\n${adviceFor(code)}`);
    this.code = code;
  }
}

export class FtpClient {
  private readonly control: Connection<Reply, string>;
  /** The host name or the address that the server's certificate has to match. */
  private readonly host: string;
  private readonly calls: RequestsInOrder<Reply, string>;
  private readonly features = new Set<string>();

  private constructor(control: Connection<Reply, string>, host: string) {
    this.control = control;
    this.host = host;
    this.calls = requests(control.data, { timeout: replyTimeout });
  }

  // #region login
  /**
   * Connects and logs in. If the address is `tls://…`, the connection begins with TLS. Otherwise, if `policy` and the
   * server allow TLS, AUTH TLS starts TLS.
   */
  static async open(address: TcpAddress, user: string, password: string, policy: TlsPolicy): Promise<FtpClient> {
    const control = await connect(address, { codec: replies }).open();
    const client = new FtpClient(control, address.host);
    try {
      await client.finalReply('the connection');
      await client.encrypt(policy);
      if (control.tls === undefined && !isAnonymous(user))
        console.error('There is no TLS: the password goes in the clear.');
      const { code } = await client.ask(`USER ${user}`, 230, 331);
      if (code === 331) await client.ask(`PASS ${password}`, 230, 202);
      if (control.tls !== undefined) {
        await client.ask('PBSZ 0', 200);
        await client.ask('PROT P', 200);
      }
      await client.learn();
      return client;
    } catch (error) {
      control.destroy();
      throw error;
    }
  }

  private async encrypt(policy: TlsPolicy): Promise<void> {
    if (policy === 'off' || this.control.tls !== undefined) return;
    const { code } = await this.calls.ask('AUTH TLS');
    if (code === 234) {
      await this.control.startTls({ servername: this.host });
    } else if (policy === 'required') {
      throw new Error('The server has no TLS, and FTP_TLS=required forbids to go on without.');
    }
  }
  // #endregion

  /** If a server does not know the command FEAT, the server supports only RFC 959. */
  private async learn(): Promise<void> {
    const { code, lines } = await this.calls.ask('FEAT');
    if (code !== 211) return;
    for (const line of lines) this.features.add(line.trim().split(' ')[0]!.toUpperCase());
    if (this.features.has('UTF8')) await this.calls.ask('OPTS UTF8 ON');
  }

  has(feature: string): boolean {
    return this.features.has(feature);
  }

  // #region ask
  /** Sends a command, and returns the reply. Throws if the code of the reply is not one of `codes`. */
  async ask(command: string, ...codes: readonly number[]): Promise<Reply> {
    const reply = await this.calls.ask(command);
    if (!codes.includes(reply.code)) throw new FtpError(verbOf(command), reply);
    return reply;
  }

  /** Waits for a reply that answers no command: the greeting, or the final reply after a transfer. */
  private async finalReply(refused: string, patience = replyTimeout): Promise<void> {
    for (;;) {
      const reply = await firstValueFrom(this.calls.events.pipe(timeout({ first: patience })));
      if (reply.code >= 400) throw new FtpError(refused, reply);
      if (reply.code >= 200) return;
    }
  }
  // #endregion

  // #region transfer
  /** Opens a data connection, sends the command that uses it, and waits until the server confirms success. */
  async transfer(command: string, use: (data: Connection) => Promise<void>): Promise<void> {
    const data = await this.openData();
    try {
      await this.ask(command, 125, 150);
      const { tls } = this.control;
      // Servers accept the session of the control connection as proof that this is the same client.
      if (tls !== undefined) await data.startTls({ servername: this.host, session: tls.session });
      await use(data);
    } catch (error) {
      data.destroy();
      // If the server has ended the connection, its reply says why.
      if (error instanceof SocketError) await this.finalReply(verbOf(command), 2_000).catch(rethrowRefusal);
      throw error;
    }
    void data.close();
    await this.finalReply(verbOf(command));
  }

  /** Dials the port that the server names, but at the server's own address, whatever address it names. */
  private async openData(): Promise<Connection> {
    const { remote } = this.control;
    if (remote.transport !== 'tcp') throw new Error('not a TCP connection');
    const extended = await this.calls.ask('EPSV');
    const old = extended.code === 229 ? undefined : await this.ask('PASV', 227);
    const match =
      old === undefined
        ? /\(([!-~])\1\1(\d{1,5})\1\)/.exec(extended.lines[0]!)
        : /\d+,\d+,\d+,\d+,(\d{1,3}),(\d{1,3})/.exec(old.lines[0]!);
    const port = old === undefined ? Number(match?.[2]) : Number(match?.[1]) * 256 + Number(match?.[2]);
    if (!(port > 0 && port < 65_536)) throw new Error('The server names no port for the data.');
    return connect({ host: remote.host, port }, { halfOpen: true, idleTimeout: stallTimeout }).open();
  }
  // #endregion

  /** Returns the number of bytes that RETR will send, or undefined if the server does not tell that number. */
  async size(path: string): Promise<number | undefined> {
    const { code, lines } = await this.calls.ask(`SIZE ${path}`);
    return code === 213 && /^\d+$/.test(lines[0]!) ? Number(lines[0]) : undefined;
  }

  async close(): Promise<void> {
    await this.calls.ask('QUIT').catch(() => undefined);
    await this.control.close();
  }
}

function verbOf(command: string): string {
  return command.split(' ')[0]!;
}

function isAnonymous(user: string): boolean {
  return user === 'anonymous' || user === 'ftp';
}

function rethrowRefusal(error: unknown): void {
  if (error instanceof FtpError) throw error;
}

function adviceFor(code: number): string {
  switch (code) {
    case 421:
      return 'It is too busy, or stopping: try again later.';
    case 425:
    case 426:
      return 'The data connection has failed: is a firewall between here and the server?';
    case 452:
    case 552:
      return 'It has no space left for you: remove something there.';
    case 331:
    case 332:
    case 430:
    case 530:
      return 'Check USER and PASSWORD. Where it asks for TLS, FTP_TLS must not be off.';
    case 550:
    case 553:
      return 'Check the path and your permissions; `list` shows the folder.';
    default:
      return 'It may not be able to do that.';
  }
}
