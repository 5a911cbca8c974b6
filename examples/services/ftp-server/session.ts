/** The session of one client: reads the client's commands from the control connection, and executes the commands. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { posix } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { firstValueFrom, from, lastValueFrom, type ObservableInput, race, timeout, timer } from 'rxjs';
import { type Connection, SocketError } from 'rxjs-sockets';
import { fromWire, toWire } from './ascii.js';
import { type Command, Commands, Refusal, replyLines } from './control.js';
import {
  active,
  type DataConnection,
  type DataOptions,
  familyOf,
  formatPort,
  isMissing,
  parseExtendedPort,
  parsePort,
  passive,
  type TcpAddress,
} from './data-connection.js';
import type { Entry, Upload } from './folder.js';
import { allFacts, type Fact, factLine, longLine, matches, timestamp } from './listing.js';
import type { Settings } from './settings.js';

const mostAttempts = 3; // to log in
const mostUnknown = 10; // unknown commands in a row; no FTP client sends that many
const mostNoops = 100; // during one transfer
const mostCounted = 16_777_216; // bytes; SIZE does not count the bytes of a longer text

const words = (text: string): ReadonlySet<string> => new Set(text.split(' '));
const beforeLogin = words('USER PASS AUTH PBSZ PROT FEAT OPTS SYST HELP NOOP QUIT ABOR');
const withArgument = words(
  'USER AUTH PBSZ PROT TYPE MODE STRU PORT EPRT REST SIZE MDTM RETR STOR APPE DELE MKD RMD CWD RNFR RNTO OPTS',
);
const elsewhere = words('ACCT SMNT REIN SITE LANG HOST CCC MIC CONF ENC ADAT XSEM XMAS'); // in RFCs, but not supported
/** Names of commands from RFC 775. Older clients use these names. */
const aliases: Readonly<Record<string, string>> = { XPWD: 'PWD', XCWD: 'CWD', XCUP: 'CDUP', XMKD: 'MKD', XRMD: 'RMD' };

export class Session {
  private readonly connection: Connection<Command, string>;
  private readonly settings: Settings;
  private readonly commands: Commands;

  private user: string | undefined;
  private isIn = false;
  private failedLogins = 0;
  private unknown = 0;
  private isOver = false;

  private folderPath = '/';
  private type: 'A' | 'I' = 'A';
  private facts: readonly Fact[] = allFacts;
  /** The position in the file at which the next transfer begins. */
  private offset = 0;
  /** The path that RNFR has named, and that RNTO renames. */
  private renamed: string | undefined;

  private hasBufferSize = false;
  private isPrivate = false;
  private isExtendedOnly = false;
  private data: DataConnection | undefined;
  /** The open data connection of the transfer in progress. */
  private carrier: Connection | undefined;

  constructor(connection: Connection<Command, string>, settings: Settings) {
    this.connection = connection;
    this.settings = settings;
    this.commands = new Commands(connection.data);
  }

  // #region loop
  async run(): Promise<void> {
    const { limits, stopping } = this.settings;
    const started = Date.now();
    try {
      this.reply(220, 'Ready.');
      while (!this.isOver) {
        const patience = this.isIn ? limits.idle : Math.max(0, limits.login - (Date.now() - started));
        const command = await firstValueFrom(from(this.commands.take()).pipe(timeout({ first: patience })));
        if (command === undefined) break;
        await this.obey(command);
      }
      if (stopping.aborted) this.reply(421, 'The server is stopping.');
    } catch (error) {
      if (isMissing(error)) this.reply(421, 'Timeout: no command was received.');
      else {
        if (isTooLong(error)) this.reply(500, 'The command is too long.');
        throw error;
      }
    } finally {
      this.data?.cancel();
    }
  }

  private async obey({ verb: given, argument }: Command): Promise<void> {
    const verb = aliases[given] ?? given;
    try {
      const perform = this.perform[verb];
      if (perform === undefined) throw this.unknownCommand(verb);
      this.unknown = 0;
      if (argument === undefined) throw new Refusal(501, 'Names have to be UTF-8.');
      if (!this.isIn && !beforeLogin.has(verb)) throw new Refusal(530, 'Log in with USER and PASS first.');
      if (argument === '' && withArgument.has(verb)) throw new Refusal(501, `${verb} needs an argument.`);
      await perform(argument);
    } catch (error) {
      const reply = replyTo(error);
      if (reply === undefined) throw error;
      this.reply(...reply);
    }
    // RNTO has to follow RNFR directly.
    if (verb !== 'RNFR') this.renamed = undefined;
  }
  // #endregion

  private reply(code: number, first: string, ...others: readonly string[]): void {
    for (const line of replyLines(code, first, ...others)) this.connection.data.next(line);
  }

  // #region commands
  private readonly perform: Readonly<Record<string, (argument: string) => Promise<void> | void>> = {
    // Login
    USER: (argument) => this.beginLogin(argument),
    PASS: (argument) => this.logIn(argument),
    QUIT: () => this.leave(),

    // TLS (RFC 4217)
    AUTH: (argument) => this.startTls(argument),
    PBSZ: () => this.setBufferSize(),
    PROT: (argument) => this.protect(argument.toUpperCase()),

    // Features
    FEAT: () => this.reply(211, 'Extensions:', ...this.features(), 'End'),
    OPTS: (argument) => this.setOption(argument),
    SYST: () => this.reply(215, 'UNIX Type: L8'),
    HELP: () => this.reply(214, 'See RFC 959, 2428, 3659 and 4217. FEAT lists the supported features.'),
    STAT: (argument) => (argument === '' ? this.reply(211, ...this.status()) : this.tell(argument)),
    NOOP: () => this.reply(200, 'Yes.'),
    ALLO: () => this.reply(202, 'No allocation is needed.'),

    // Transfer parameters
    TYPE: (argument) => this.setType(argument.toUpperCase()),
    MODE: (argument) => this.allow(argument, 'S', 'Only stream mode is supported.'),
    STRU: (argument) => this.allow(argument, 'F', 'Only the file structure is supported.'),
    REST: (argument) => this.setOffset(argument),

    // Data connections (RFC 959, RFC 2428)
    PASV: () => this.listenAsOfOld(),
    EPSV: (argument) => this.listenExtended(argument.toUpperCase()),
    PORT: (argument) => this.dialAsOfOld(argument),
    EPRT: (argument) => this.dialExtended(argument),

    // Files
    RETR: (argument) => this.retrieve(this.pathOf(argument)),
    STOR: (argument) => this.store(this.pathOf(argument), 'replace'),
    APPE: (argument) => this.store(this.pathOf(argument), 'append'),
    STOU: () => this.storeUnique(),
    ABOR: () => this.reply(225, 'There is nothing to abort.'),
    SIZE: (argument) => this.tellSize(this.pathOf(argument)),
    MDTM: (argument) => this.tellTime(this.pathOf(argument)),
    DELE: (argument) => this.change(250, 'File removed.', this.settings.folder.removeFile(this.pathOf(argument))),
    RNFR: (argument) => this.beginRename(this.pathOf(argument)),
    RNTO: (argument) => this.rename(this.pathOf(argument)),

    // Folders
    PWD: () => this.reply(257, `${quoted(this.folderPath)} is the current folder.`),
    CWD: (argument) => this.enter(this.pathOf(argument)),
    CDUP: () => this.enter(this.pathOf('..')),
    MKD: (argument) => this.make(this.pathOf(argument)),
    RMD: (argument) => this.change(250, 'Folder removed.', this.settings.folder.removeFolder(this.pathOf(argument))),
    LIST: (argument) => this.list(argument, 'long'),
    NLST: (argument) => this.list(argument, 'names'),
    MLSD: (argument) => this.listFacts(this.pathOf(argument)),
    MLST: (argument) => this.tellFacts(this.pathOf(argument)),
  };
  // #endregion

  /**
   * Resolves a name from the client to a path. The path begins at the served folder, and a `..` in the name never leads
   * out of that folder.
   */
  private pathOf(argument: string): string {
    return posix.resolve('/', this.folderPath, argument === '' ? '.' : argument);
  }

  private leave(): void {
    this.isOver = true;
    this.reply(221, 'Goodbye.');
  }

  private async change(code: number, text: string, done: Promise<unknown>): Promise<void> {
    await done;
    this.reply(code, text);
  }

  private unknownCommand(verb: string): Refusal {
    // A web page can make a browser send commands to this port, in the body of an HTTP request. The lines of the HTTP
    // header are unknown commands, so the session ends after `mostUnknown` unknown commands in a row.
    if (++this.unknown >= mostUnknown) this.isOver = true;
    return elsewhere.has(verb) ? new Refusal(502, `${verb} is not supported.`) : new Refusal(500, 'Unknown command.');
  }

  // ---- login

  private beginLogin(user: string): void {
    const { login, tls } = this.settings;
    if (login !== undefined && tls !== undefined && this.connection.tls === undefined) {
      throw new Refusal(530, 'Send AUTH TLS first: passwords are not accepted in plain text.');
    }
    this.isIn = false;
    this.user = user;
    this.reply(331, login === undefined ? 'Any password is accepted.' : 'Password required.');
  }

  private logIn(password: string): void {
    if (this.user === undefined) throw new Refusal(503, 'Send USER first.');
    const { login } = this.settings;
    this.isIn = login === undefined || (isSame(this.user, login.user) && isSame(password, login.password));
    this.user = undefined;
    if (!this.isIn) {
      this.isOver = ++this.failedLogins >= mostAttempts;
      throw new Refusal(530, 'The user or the password is wrong.');
    }
    this.reply(230, 'Welcome.');
  }

  // ---- TLS

  // #region auth-tls
  private async startTls(mechanism: string): Promise<void> {
    const { tls } = this.settings;
    if (tls === undefined) throw new Refusal(502, 'This server has no certificate.');
    if (this.connection.tls !== undefined) throw new Refusal(503, 'TLS is already active.');
    if (!/^(?:TLS|TLS-C|SSL|TLS-P)$/i.test(mechanism)) throw new Refusal(504, 'Only AUTH TLS is supported.');
    this.isIn = false; // an attacker may have sent the plain text so far
    this.user = undefined;
    this.reply(234, 'Start the TLS handshake.'); // the last plain text
    await this.connection.startTls(tls.control);
  }
  // #endregion

  private setBufferSize(): void {
    if (this.connection.tls === undefined) throw new Refusal(503, 'Send AUTH TLS first.');
    this.hasBufferSize = true;
    this.reply(200, 'PBSZ=0');
  }

  private protect(level: string): void {
    if (!this.hasBufferSize) throw new Refusal(503, 'Send PBSZ 0 first.');
    if (level !== 'C' && level !== 'P') throw new Refusal(536, 'Only PROT C and PROT P are supported.');
    this.isPrivate = level === 'P';
    this.prepare(undefined); // a data connection that was announced before has the old protection
    this.reply(200, this.isPrivate ? 'Data connections are encrypted.' : 'Data connections are plain text.');
  }

  // ---- features

  private features(): string[] {
    const facts = allFacts.map((fact) => `${fact}${this.facts.includes(fact) ? '*' : ''};`).join('');
    const always = ['EPRT', 'EPSV', 'MDTM', `MLST ${facts}`, 'REST STREAM', 'SIZE', 'TVFS', 'UTF8'];
    return this.settings.tls === undefined ? always : [...always, 'AUTH TLS', 'AUTH SSL', 'PBSZ', 'PROT'];
  }

  private setOption(argument: string): void {
    const [name = '', value = ''] = argument.toUpperCase().split(' ');
    if (name === 'UTF8' || name === 'UTF-8') {
      if (value !== '' && value !== 'ON') throw new Refusal(504, 'UTF-8 cannot be switched off.');
      this.reply(200, 'Names are UTF-8.');
    } else if (name === 'MLST') {
      const wanted = value.toLowerCase().split(';');
      this.facts = allFacts.filter((fact) => wanted.includes(fact));
      this.reply(200, `MLST OPTS ${this.facts.map((fact) => `${fact};`).join('')}`);
    } else throw new Refusal(501, 'Only OPTS UTF8 ON and OPTS MLST are supported.');
  }

  private status(): [string, string, string] {
    const protection = this.connection.tls?.protocol ?? 'no TLS';
    return ['Status:', `${protection}, TYPE ${this.type}, in ${quoted(this.folderPath)}`, 'End'];
  }

  // ---- transfer parameters

  private setType(type: string): void {
    if (type === 'I' || type === 'L 8') this.type = 'I';
    else if (type === 'A' || type === 'A N') this.type = 'A';
    else throw new Refusal(504, 'Only TYPE I and TYPE A are supported.');
    this.reply(200, `The type is ${this.type}.`);
  }

  private allow(argument: string, only: string, text: string): void {
    if (argument.toUpperCase() !== only) throw new Refusal(504, text);
    this.reply(200, text);
  }

  private setOffset(argument: string): void {
    const offset = /^\d+$/.test(argument) ? Number(argument) : NaN;
    if (!Number.isSafeInteger(offset)) throw new Refusal(501, 'REST needs a number of bytes.');
    if (this.type === 'A' && offset > 0) throw new Refusal(504, 'REST is for TYPE I.');
    this.offset = offset;
    this.reply(350, `The next transfer begins at ${offset}.`);
  }

  private takeOffset(): number {
    const { offset } = this;
    this.offset = 0;
    if (this.type === 'A' && offset > 0) throw new Refusal(504, 'REST is for TYPE I.');
    return offset;
  }

  // ---- data connections

  private async listenAsOfOld(): Promise<void> {
    const { local } = this.ends('PASV');
    if (familyOf(local) !== '1') throw new Refusal(522, 'PASV requires IPv4; use EPSV.');
    const port = await this.listenForData();
    this.reply(227, `Entering Passive Mode (${formatPort({ host: local.host, port })}).`);
  }

  private async listenExtended(argument: string): Promise<void> {
    const { local } = this.ends('EPSV ALL');
    if (argument === 'ALL') {
      this.isExtendedOnly = true;
      this.reply(200, 'Only EPSV is allowed from now on.');
      return;
    }
    if (argument !== '' && argument !== familyOf(local)) {
      throw new Refusal(522, `That protocol is not the one of this connection, use (${familyOf(local)})`);
    }
    this.reply(229, `Entering Extended Passive Mode (|||${await this.listenForData()}|)`);
  }

  private async listenForData(): Promise<number> {
    this.prepare(undefined); // frees the port of the previous data connection
    const data = await passive(this.ends('EPSV ALL'), this.settings.ports, this.dataOptions());
    this.prepare(data);
    return data.port;
  }

  private dialAsOfOld(argument: string): void {
    const ends = this.ends('PORT');
    const target = parsePort(argument);
    if (target === undefined) throw new Refusal(501, 'PORT needs six numbers, as in PORT 127,0,0,1,195,80.');
    this.prepare(active(ends, target, this.dataOptions()));
    this.reply(200, 'The next data connection goes there.');
  }

  private dialExtended(argument: string): void {
    const ends = this.ends('EPRT');
    const target = parseExtendedPort(argument);
    if (target === undefined) throw new Refusal(501, 'EPRT needs an address, as in EPRT |1|127.0.0.1|50000|.');
    if (target.family !== familyOf(ends.local)) {
      throw new Refusal(522, `That protocol is not the one of this connection, use (${familyOf(ends.local)})`);
    }
    this.prepare(active(ends, target, this.dataOptions()));
    this.reply(200, 'The next data connection goes there.');
  }

  /** Returns the addresses of the control connection. A data connection has to be between the same two hosts. */
  private ends(verb: string): { readonly local: TcpAddress; readonly remote: TcpAddress } {
    const { local, remote } = this.connection;
    if (local.transport !== 'tcp' || remote.transport !== 'tcp') {
      throw new Refusal(502, 'Data connections need TCP, but this control connection is a unix socket.');
    }
    if (this.isExtendedOnly && verb !== 'EPSV ALL') throw new Refusal(503, 'Only EPSV is allowed after EPSV ALL.');
    return { local, remote };
  }

  private dataOptions(): DataOptions {
    const { limits, tls } = this.settings;
    return { openTimeout: limits.open, stallTimeout: limits.stall, tls: this.isPrivate ? tls?.data : undefined };
  }

  private prepare(data: DataConnection | undefined): void {
    this.data?.cancel();
    this.data = data;
  }

  // ---- files

  // #region retrieve
  private async retrieve(path: string): Promise<void> {
    const start = this.takeOffset();
    const { file, size } = await this.settings.folder.read(path);
    try {
      if (start > size) throw new Refusal(554, 'The file is shorter than that.');
      await this.transfer(`${size - start} bytes follow.`, (data) => {
        const chunks = chunksOf(file, start);
        return sendAll(data, this.type === 'A' ? toWire(chunks) : chunks);
      });
    } finally {
      await file.close();
    }
  }
  // #endregion

  // #region store
  private async store(path: string, how: 'replace' | 'append'): Promise<void> {
    const { folder } = this.settings;
    const offset = this.takeOffset();
    this.assertData();
    if (offset > 0) return this.receive(path, await folder.extend(path, offset));
    const isThere = how === 'append' && (await this.isFile(path));
    return this.receive(path, await (isThere ? folder.extend(path) : folder.replace(path)));
  }

  private async storeUnique(): Promise<void> {
    this.assertData();
    const path = this.pathOf(`upload-${Date.now().toString(36)}-${this.connection.id}`);
    return this.receive(path, await this.settings.folder.add(path));
  }

  private async receive(path: string, upload: Upload): Promise<void> {
    try {
      await this.transfer(`FILE: ${posix.basename(path)}`, async ({ bytes }) => {
        try {
          for await (const chunk of this.type === 'A' ? fromWire(bytes) : bytes) await upload.write(chunk);
          if (!(await this.isClientThere()))
            throw new Refusal(426, 'The control connection has ended, so the upload is incomplete.');
          await upload.finish();
        } finally {
          await upload.discard(); // before the client receives the reply
        }
      });
    } finally {
      await upload.discard();
    }
  }
  // #endregion

  /**
   * Whether the control connection is still open. When a client is killed, the kernel ends both the data connection and
   * the control connection of that client. The end of the data connection then looks like the end of the file. The end
   * of the control connection may arrive a little later, so this method waits for a short time.
   */
  private async isClientThere(): Promise<boolean> {
    const { limits, stopping } = this.settings;
    const next = this.commands.peek().catch(() => undefined);
    await firstValueFrom(race(from(next), timer(limits.farewell)));
    await setImmediate(); // lets this process read a FIN that has already arrived
    return !this.commands.hasEnded || stopping.aborted;
  }

  private async isFile(path: string): Promise<boolean> {
    return this.settings.folder.stats(path).then(
      (stats) => stats.isFile(),
      () => false,
    );
  }

  /** With TYPE A, the server has to read the file to count the bytes that RETR would send. */
  private async tellSize(path: string): Promise<void> {
    const { file, size } = await this.settings.folder.read(path);
    try {
      if (this.type === 'A' && size > mostCounted) throw new Refusal(550, 'SIZE of a large file is for TYPE I.');
      let sent = this.type === 'A' ? 0 : size;
      if (this.type === 'A') for await (const chunk of toWire(chunksOf(file))) sent += chunk.length;
      this.reply(213, String(sent));
    } finally {
      await file.close();
    }
  }

  private async tellTime(path: string): Promise<void> {
    const stats = await this.settings.folder.stats(path);
    if (!stats.isFile()) throw new Refusal(550, 'That is not a file.');
    this.reply(213, timestamp(stats.mtime));
  }

  private async beginRename(path: string): Promise<void> {
    await this.settings.folder.stats(path);
    this.renamed = path;
    this.reply(350, 'Ready for RNTO.');
  }

  private async rename(path: string): Promise<void> {
    if (this.renamed === undefined) throw new Refusal(503, 'Send RNFR first.');
    await this.change(250, 'Renamed.', this.settings.folder.rename(this.renamed, path));
  }

  // ---- folders

  private async enter(path: string): Promise<void> {
    const stats = await this.settings.folder.stats(path);
    if (!stats.isDirectory()) throw new Refusal(550, 'That is not a folder.');
    this.folderPath = path;
    this.reply(250, `${quoted(path)} is now the current folder.`);
  }

  private async make(path: string): Promise<void> {
    await this.change(257, `${quoted(path)} is there.`, this.settings.folder.makeFolder(path));
  }

  private async list(argument: string, how: 'long' | 'names'): Promise<void> {
    const lines = await this.listing(argument.replace(/^-\S*(?: +|$)/, ''), how); // many clients send options of `ls`
    await this.transfer('A list follows.', (data) => sendAll(data, lines));
  }

  /**
   * Answers the command STAT when it has a path: sends the listing of that path on the control connection, as fast as
   * the client reads.
   */
  private async tell(argument: string): Promise<void> {
    const { data } = this.connection;
    const lines = await this.listing(argument, 'long');
    data.next('213-A list follows.');
    for await (const line of lines) {
      const sent = data.send(` ${line.trimEnd()}`);
      await firstValueFrom(from(sent).pipe(timeout({ first: this.settings.limits.stall })));
    }
    data.next('213 End');
  }

  private async listing(name: string, how: 'long' | 'names'): Promise<AsyncIterable<string>> {
    const { folder } = this.settings;
    const path = this.pathOf(name);
    const pattern = posix.basename(name);
    const stats = await folder.stats(path).catch((error: unknown) => {
      if (!/[*?]/.test(pattern)) throw error;
    });
    if (stats?.isDirectory() === true) {
      await folder.assertListable(path);
      const prefix = name === '' ? '' : name.replace(/\/*$/, '/');
      return linesOf(folder.list(path), how, prefix);
    }
    const prefix = name.slice(0, name.lastIndexOf('/') + 1);
    if (stats !== undefined) return linesOf([{ name: posix.basename(path), stats }], how, prefix);
    await folder.assertListable(posix.dirname(path));
    return linesOf(folder.list(posix.dirname(path)), how, prefix, pattern);
  }

  private async listFacts(path: string): Promise<void> {
    const { facts } = this;
    const { folder } = this.settings;
    const stats = await folder.stats(path);
    if (!stats.isDirectory()) throw new Refusal(501, 'That is not a folder.');
    await folder.assertListable(path);
    async function* lines(): AsyncGenerator<string> {
      yield `${factLine({ name: '.', stats }, facts, 'cdir')}\r\n`;
      for await (const entry of folder.list(path)) yield `${factLine(entry, facts)}\r\n`;
    }
    await this.transfer('A list follows.', (data) => sendAll(data, lines()));
  }

  private async tellFacts(path: string): Promise<void> {
    const entry = { name: path, stats: await this.settings.folder.stats(path) };
    this.reply(250, 'Facts:', factLine(entry, this.facts), 'End');
  }

  // ---- transfers

  private assertData(): DataConnection {
    if (this.data === undefined) throw new Refusal(425, 'Send EPSV, PASV, EPRT or PORT first.');
    return this.data;
  }

  // #region transfer
  private async transfer(opening: string, carry: (data: Connection) => Promise<void>): Promise<void> {
    const data = this.assertData();
    this.data = undefined;
    // If the data connection uses TLS, the client begins the handshake when it receives this reply, or when the data
    // connection is open. So the server sends this reply before it waits for the handshake.
    this.reply(150, opening);
    const job = this.carry(data, carry);
    const { aborts, noops } = await this.listenDuring(job, data);
    const reply = await job;
    this.reply(...(aborts > 0 && reply[0] !== 226 ? ([426, 'The transfer was aborted.'] as const) : reply));
    for (let count = 0; count < aborts; count++) this.reply(226, 'Abort complete.');
    for (let count = 0; count < noops; count++) this.reply(200, 'Yes.');
  }

  private async carry(data: DataConnection, work: (data: Connection) => Promise<void>): Promise<Reply> {
    const gone = this.connection.closed.subscribe(() => data.cancel());
    try {
      this.carrier = await data.open();
      await work(this.carrier);
      void this.carrier.close(); // not awaited: some clients end the data connection only after the reply
      return [226, 'Transfer complete.'];
    } catch (error) {
      data.cancel();
      if (isMissing(error)) return [425, 'No data connection was opened.'];
      if (!(error instanceof SocketError)) return replyTo(error) ?? [451, 'Internal error.'];
      if (this.carrier === undefined) return [425, `There is no data connection: ${error.message}`];
      return [426, `The data connection has failed: ${error.message}`];
    } finally {
      gone.unsubscribe();
      this.carrier = undefined;
    }
  }

  /**
   * During a transfer, the client may abort the transfer (ABOR), ask for the progress (STAT), or send NOOP. Any other
   * command waits until the transfer has ended.
   */
  private async listenDuring(job: Promise<unknown>, data: DataConnection): Promise<{ aborts: number; noops: number }> {
    const heard = { aborts: 0, noops: 0 };
    const over = job.then(() => 'over' as const);
    for (;;) {
      const next = await Promise.race([over, this.commands.peek().catch(() => undefined)]);
      if (next === 'over') return heard;
      if (next?.verb === 'ABOR') {
        heard.aborts++;
        data.cancel();
      } else if (next?.verb === 'NOOP' && heard.noops < mostNoops) heard.noops++;
      else if (next?.verb === 'STAT' && next.argument === '') this.reply(211, `${this.progress()} bytes so far.`);
      else {
        await job;
        return heard;
      }
      await this.commands.take();
    }
  }
  // #endregion

  private progress(): number {
    const { bytesRead = 0, bytesWritten = 0 } = this.carrier?.stats ?? {};
    return bytesRead + bytesWritten;
  }
}

type Reply = readonly [code: number, text: string];

function chunksOf(file: FileHandle, start = 0): AsyncIterable<Buffer> {
  return file.createReadStream({ start, highWaterMark: 65_536, autoClose: false });
}

/** Sends all data of the source. Resolves when the kernel has taken all of this data. */
async function sendAll(data: Connection, source: ObservableInput<Buffer | string>): Promise<void> {
  // The client sends nothing on this connection. This side still has to read, because the timeout for a stalled client
  // runs only while this side reads.
  data.bytes.subscribe({ error: () => undefined });
  await lastValueFrom(data.bytes.sendFrom(source), { defaultValue: undefined });
}

async function* linesOf(
  entries: AsyncIterable<Entry> | Iterable<Entry>,
  how: 'long' | 'names',
  prefix: string,
  pattern = '*',
): AsyncGenerator<string> {
  for await (const entry of entries) {
    if (!matches(entry.name, pattern)) continue;
    yield `${how === 'long' ? longLine(entry) : prefix + entry.name}\r\n`;
  }
}

const sentences: Readonly<Record<string, Reply>> = {
  ENOENT: [550, 'No such file or folder.'],
  ENOTDIR: [550, 'That is not a folder.'],
  EISDIR: [550, 'That is a folder.'],
  EEXIST: [550, 'The name is already in use.'],
  ENOTEMPTY: [550, 'The folder is not empty.'],
  EACCES: [550, 'The server may not do that.'],
  EPERM: [550, 'The server may not do that.'],
  EROFS: [550, 'The server may not do that.'],
  ELOOP: [550, 'The links form a circle.'],
  EXDEV: [550, 'The target is on a different disk.'],
  EBUSY: [550, 'That is in use.'],
  EINVAL: [553, 'The name is not valid.'],
  ENXIO: [550, 'That is not a file.'],
  ENAMETOOLONG: [553, 'That name is too long.'],
  ENOSPC: [452, 'The disk is full.'],
  EDQUOT: [452, 'The disk is full.'],
  EMFILE: [451, 'Too many files are open here; try again later.'],
  ENFILE: [451, 'Too many files are open here; try again later.'],
};

/** Returns the reply that tells the client about an error, or undefined if no reply fits. */
function replyTo(error: unknown): Reply | undefined {
  if (error instanceof Refusal) return [error.code, error.message];
  if (error instanceof SocketError) return undefined;
  return sentences[(error as NodeJS.ErrnoException).code ?? ''];
}

function isTooLong(error: unknown): boolean {
  return error instanceof SocketError && error.code === 'ERR_FRAME_TOO_LONG';
}

/** Formats a path for PWD, with each quotation mark doubled. */
function quoted(path: string): string {
  return `"${path.replaceAll('"', '""')}"`;
}

/** Compares two texts. The duration of the comparison does not depend on how much of the texts is equal. */
function isSame(one: string, other: string): boolean {
  const [first, second] = [one, other].map((text) => createHash('sha256').update(text).digest());
  return timingSafeEqual(first!, second!);
}
