import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { Program } from '../examples/program.js';
import { freshFolder } from '../support/transport/places.js';
import { describeWith } from '../support/processes/programs.js';
import {
  client,
  me,
  Screen,
  prompt,
  root,
  start,
  isRoot,
  home,
  use,
  printTenMegabytes,
  server,
} from '../support/services/rlogin-session.js';

afterAll(() => rmSync(home, { recursive: true, force: true }));

let shared: ReturnType<typeof start>;
let address: string;

beforeAll(async () => {
  shared = start([...server, 'tcp://127.0.0.1:0']);
  [address] = await shared.program.until(/^.+$/m);
});

afterAll(async () => {
  expect(await shared.program.interrupt('SIGTERM')).toBe(0);
});

const rlogind = 'rsh-redone-server/usr/sbin/in.rlogind';

describe('rlogin.ts', () => {
  it('ends when `~.` is typed at the beginning of a line, and restores the terminal', async () => {
    const session = `stty -g; ${[...client, address, me].join(' ')}; echo status $?; stty -g`;
    const screen = new Screen(['sh', '-c', session]);
    await screen.until(prompt);
    await screen.type("echo '~'. ~~\r~~\r~.", /status 0/);
    await screen.ended;
    const [first, last] = screen.output.text.match(/^[0-9a-f:]{40,}\r$/gm) ?? [];
    expect(last).toBe(first);
  });

  it('restores the terminal if a signal ends the client', async () => {
    const session = `stty -g; ${client.join(' ')} ${address} ${me} & echo pid $!; fg; echo status $?; stty -g`;
    const screen = new Screen(['sh', '-mc', session]);
    const [, pid] = await screen.until(/pid (\d+)/);
    await screen.until(/[$#] \S*$/);
    process.kill(Number(pid), 'SIGTERM');
    await screen.until(/status 143/);
    await screen.ended;
    const [first, last] = screen.output.text.match(/^[0-9a-f:]{40,}\r$/gm) ?? [];
    expect(last).toBe(first);
  });

  it('sends its input even without a terminal', async () => {
    const child = spawn(process.execPath, [...client.slice(1), address, me], { cwd: root, stdio: 'pipe' });
    onTestFinished(() => void child.kill('SIGKILL'));
    const program = new Program(child);
    child.stdin.end('echo from $((6 * 7)) a pipe\nexit\n');
    expect(await program.ended).toBe(0);
    expect(program.output).toMatch(/from 42 a pipe/);
  });

  it("shows the server's error", async () => {
    const refusing = net.createServer((socket) => socket.end('\x01\x1b[2JPermission denied.\r\n').resume());
    const port = await listening(refusing);
    const { program } = start([...client, `tcp://127.0.0.1:${port}`, me]);
    expect(await program.ended).toBe(1);
    expect(program.errors).toMatch(/has refused: \[2JPermission denied\.\n/);
  });

  it('reports that a session was cut off', async () => {
    const cutting = net.createServer((socket) =>
      socket.once('data', () => {
        socket.write('\0hello', () => socket.once('data', () => socket.resetAndDestroy()));
      }),
    );
    const port = await listening(cutting);
    const screen = new Screen([...client, `tcp://127.0.0.1:${port}`, me]);
    await screen.until(/hello/);
    await screen.type('\r', /ECONNRESET/);
    expect(await screen.ended).toBe(1);
  });

  it.each([[['tcp://127.0.0.1:1']], [['tcp://127.0.0.1:1', 'a b']], [['nonsense', 'ann']]])(
    'prints its usage for %j',
    async (args) => {
      const { program } = start([...client, ...args]);
      expect(await program.ended).toBe(2);
      expect(program.errors).toMatch(/usage: .* ADDRESS USER/);
    },
  );

  it('ends when it is refused, even if the server keeps the connection open', async () => {
    const refusing = net.createServer((socket) => void socket.resume().write('\x01Permission denied.\r\n'));
    const port = await listening(refusing);
    const { program, child } = start([...client, `tcp://127.0.0.1:${port}`, me]);
    onTestFinished(() => void child.kill('SIGKILL'));
    expect(await program.ended).toBe(1);
    expect(program.errors).toMatch(/has refused: Permission denied/);
  });

  it('fails if no server listens', async () => {
    const { program } = start([...client, 'tcp://127.0.0.1:1', 'ann']);
    expect(await program.ended).toBe(1);
    expect(program.errors).toMatch(/ECONNREFUSED/);
  });
});

describeWith('rlogin.ts with in.rlogind', [rlogind, 'python3', 'unshare'], ([rlogind]) => {
  describe.runIf(isRoot)('started by inetd', () => {
    /** Starts in.rlogind as inetd would, from a small Python script. The PAM configuration admits every user. */
    async function inetd(): Promise<number> {
      const pam = await freshFolder();
      const open = ['auth', 'account', 'session'].map((kind) => `${kind} required pam_permit.so\n`).join('');
      for (const service of ['rlogin', 'login']) await writeFile(join(pam, service), open);
      const script = join(pam, 'inetd.py');
      await writeFile(
        script,
        `
import os, signal, socket, sys
os.system(f'mount --bind {sys.argv[2]} ~')  # a shell without what the tester's home has it do
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    connection, _ = listener.accept()
    if os.fork() == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for descriptor in (0, 1, 2):
            os.dup2(connection.fileno(), descriptor)
        os.execv(sys.argv[1], ["in.rlogind"])
    connection.close()
`,
      );
      const mounted = 'mount --bind "$0" /etc/pam.d && exec python3 "$1" "$2" "$3"';
      const { program, child } = start(['unshare', '--mount', 'sh', '-c', mounted, pam, script, rlogind, home]);
      onTestFinished(async () => {
        child.kill('SIGKILL');
        await program.ended;
      });
      const [port] = await program.until(/^\d+$/m);
      return Number(port);
    }

    it('gets a real terminal when it connects from a privileged port', async () => {
      const screen = new Screen([...client, `tcp://127.0.0.1:${await inetd()}`, me]);
      await use(screen);
      expect(await screen.ended).toBe(0);
      expect(screen.output.bytes.includes(0x80)).toBe(false);
    });

    it('prints ten megabytes', async () => {
      await printTenMegabytes(new Screen([...client, `tcp://127.0.0.1:${await inetd()}`, me]));
    });

    it('if it cannot use a privileged port, says that the server requires such a port', async () => {
      const nobody = ['setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups'];
      const { program } = start([...nobody, ...client, `tcp://127.0.0.1:${await inetd()}`, me]);
      expect(await program.ended).toBe(1);
      expect(program.errors).toMatch(/privileged ports only/);
    });
  });
});

async function listening(server: net.Server): Promise<number> {
  server.on('connection', (socket) => socket.on('error', () => undefined));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return (server.address() as net.AddressInfo).port;
}
