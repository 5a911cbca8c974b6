import { execFile } from 'node:child_process';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest';
import { freshFolder } from '../support/transport/places.js';

const project = inject('installed');
const certificates = fileURLToPath(new URL('../support/transport/node/tls/certificates', import.meta.url));
const identity = ['server.key', 'server.pem', 'authority.pem'].map((file) => join(certificates, file));

beforeAll(() => cp(fileURLToPath(new URL('programs', import.meta.url)), project, { recursive: true }));

/** Runs one of the programs in the project that has installed the package, and returns its output. */
async function output(name: string, args: readonly string[], flags: readonly string[] = []): Promise<string> {
  const command = [...flags, join(project, name), ...args];
  const running = promisify(execFile)(process.execPath, command, { cwd: project });
  onTestFinished(() => void running.child.kill('SIGKILL'));
  const { stdout, stderr } = await running;
  // The program must not print warnings either.
  expect(stderr).toBe('');
  return stdout;
}

const addresses: readonly (readonly [string, () => Promise<string>])[] = [
  ['TCP', () => Promise.resolve('tcp://localhost:0')],
  ['a unix socket', async () => `unix:${join(await freshFolder(), 'socket')}`],
];

describe(`the packed package on Node ${process.versions.node}`, () => {
  it.each(addresses)('echoes over %s', async (_name, address) => {
    expect(await output('echo.mjs', [await address()])).toBe('1000 of 1000\n');
  });

  it('echoes over TLS', async () => {
    expect(await output('echo.mjs', ['tls://localhost:0', ...identity])).toBe('1000 of 1000\n');
  });

  it('echoes over TLS on a unix socket', async () => {
    const [, address] = addresses[1]!;
    expect(await output('echo.mjs', [await address(), ...identity])).toBe('1000 of 1000\n');
  });

  it('can be loaded by CommonJS', async () => {
    expect(await output('required.cjs', [])).toBe('function function function function\none copy\n');
  });
});

/** Code that removes internals of Node that the library uses. A different version of Node might lack them. */
const broken = {
  gate: `import net from 'node:net'; net._createServerHandle = undefined;`,
  read: `
    import net from 'node:net';
    const socket = net.connect(1, '127.0.0.1').on('error', () => undefined);
    let owner = socket._handle;
    while (!Object.hasOwn(owner, 'useUserBuffer')) owner = Object.getPrototypeOf(owner);
    delete owner.useUserBuffer;
    socket.destroy();`,
};

function breaking(what: keyof typeof broken): string[] {
  return ['--import', `data:text/javascript,${encodeURIComponent(broken[what])}`];
}

describe.each(addresses)(`the use of internals of Node ${process.versions.node}, over %s`, (_name, address) => {
  const working = {
    acceptedWhileHeld: 0,
    acceptedAfterwards: 5,
    readsDirectly: { accepted: true, dialled: [true] },
  };
  const inside = async (flags?: readonly string[], ...args: readonly string[]): Promise<unknown> =>
    JSON.parse(await output('inside.mjs', [await address(), ...args], flags));

  it("S5: a held server keeps its clients in the backlog, and all sockets read into the library's memory", async () => {
    expect(await inside()).toEqual(working);
  });

  it('S5: a listener that cannot be paused accepts clients while the server is held', async () => {
    expect(await inside(breaking('gate'))).toEqual({ ...working, acceptedWhileHeld: 5 });
  });

  it('S5: with `internals: false`, accepts even while the server is held, and reads as Node does', async () => {
    const readsDirectly = { accepted: false, dialled: [false] };
    expect(await inside([], 'public-api')).toEqual({ ...working, acceptedWhileHeld: 5, readsDirectly });
  });

  it('C1: sockets read as Node does if they cannot read directly into the memory of the library', async () => {
    const readsDirectly = { accepted: false, dialled: [false] };
    expect(await inside(breaking('read'))).toEqual({ ...working, readsDirectly });
  });
});
