/** Tests of the FTP server with clients in common use. */
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { file } from '../support/transport/node/tls/certificates.js';
import { freshFolder } from '../support/transport/places.js';
import { hashOf, randomFile, run, start, startServer, withTls } from '../support/services/ftp.js';
import { describeWith } from '../support/processes/programs.js';

const large = 100_000_000; // bytes
const patient = { timeout: 60_000 }; // ms

/** A server with a few files, and a folder for the client. */
async function served(
  ...options: string[]
): Promise<Awaited<ReturnType<typeof startServer>> & { files: string; own: string }> {
  const files = await freshFolder();
  await mkdir(join(files, 'sub', 'deep'), { recursive: true });
  await writeFile(join(files, 'hello.txt'), 'hello\nworld\n');
  await writeFile(join(files, 'sub', 'ü and spaces.txt'), 'UTF-8');
  await writeFile(join(files, 'sub', 'deep', 'empty'), '');
  return { ...(await startServer('tcp://127.0.0.1:0', files, ...options)), files, own: await freshFolder() };
}

describeWith('curl with the FTP server', ['curl'], ([curl]) => {
  it(
    'lists, transfers, renames and removes files, in passive and active mode, with old and new commands',
    patient,
    async () => {
      const { files, own, port } = await served();
      const url = `ftp://127.0.0.1:${port}`;
      for (const mode of [[], ['--disable-epsv'], ['-P', '127.0.0.1'], ['-P', '127.0.0.1', '--disable-eprt']]) {
        const { output } = await run(curl, ['-sS', ...mode, `${url}/sub/`, `${url}/hello.txt`]);
        expect(output, mode.join(' ')).toMatch(/^[d-]rw[^]* ü and spaces.txt\n[^]*hello\nworld\n$/);
      }
      expect(await run(curl, ['-sS', `${url}/sub/%C3%BC%20and%20spaces.txt`])).toMatchObject({ output: 'UTF-8' });
      expect(await run(curl, ['-sS', '-r', '2-6', `${url}/hello.txt`])).toMatchObject({ output: 'llo\nw' });
      expect(await run(curl, ['-sS', '-C', '6', `${url}/hello.txt`])).toMatchObject({ output: 'world\n' });
      expect(await run(curl, ['-sSI', `${url}/hello.txt`])).toMatchObject({
        output: expect.stringMatching(/Content-Length: 12\r\n/),
      });
      expect(await run(curl, ['-sS', '-B', `${url}/hello.txt`])).toMatchObject({ output: 'hello\nworld\n' });

      await writeFile(join(own, 'up'), '0123456789');
      const put = async (...args: string[]): Promise<void> => {
        expect(await run(curl, ['-sS', '-T', join(own, 'up'), ...args])).toMatchObject({ status: 0 });
      };
      await put(`${url}/new`);
      expect(await readFile(join(files, 'new'), 'utf8')).toBe('0123456789');
      await put('-a', `${url}/new`);
      expect(await readFile(join(files, 'new'), 'utf8')).toBe('01234567890123456789');
      await writeFile(join(files, 'new'), '0123');
      await put('-C', '-', `${url}/new`);
      expect(await readFile(join(files, 'new'), 'utf8')).toBe('0123456789');
      await put('--ftp-create-dirs', `${url}/made/here/`);
      const commands = ['RNFR new', 'RNTO made/newer', 'DELE hello.txt', 'MKD empty', 'RMD empty'];
      expect(await run(curl, ['-sS', ...commands.flatMap((command) => ['-Q', command]), `${url}/`])).toMatchObject({
        status: 0,
      });
      expect(await readFile(join(files, 'made', 'newer'), 'utf8')).toBe('0123456789');
      expect((await readdir(files)).sort()).toEqual(['made', 'sub']);
    },
  );

  it('gets and puts 100 MB, in the clear and encrypted', patient, async () => {
    const { files, own, port } = await served(...withTls);
    const url = `ftp://localhost:${port}`;
    const hash = await randomFile(join(files, 'large'), large);
    for (const security of [[], ['--ssl-reqd', '--cacert', file('authority.pem')]]) {
      expect(await run(curl, ['-sS', ...security, '-o', join(own, 'down'), `${url}/large`])).toMatchObject({
        status: 0,
      });
      expect(await hashOf(join(own, 'down'))).toBe(hash);
      expect(await run(curl, ['-sS', ...security, '-T', join(own, 'down'), `${url}/up`])).toMatchObject({ status: 0 });
      expect(await hashOf(join(files, 'up'))).toBe(hash);
    }
    const { status, errors } = await run(curl, ['-sS', '--ssl-reqd', `${url}/hello.txt`]);
    expect({ status, errors }).toMatchObject({ status: 60, errors: expect.stringContaining('certificate') });
  });

  it('works over IPv6, and with TLS from the start', async () => {
    const files = await freshFolder();
    await writeFile(join(files, 'hello.txt'), 'hello');
    const [six, secure] = await Promise.all([
      startServer('tcp://[::1]:0', files),
      startServer('tls://127.0.0.1:0', files, ...withTls),
    ]);
    for (const mode of [[], ['-P', '::1']]) {
      expect(await run(curl, ['-sS', ...mode, `ftp://[::1]:${six.port}/hello.txt`])).toMatchObject({ output: 'hello' });
    }
    const options = ['-sS', '--ssl-reqd', '--cacert', file('authority.pem')];
    expect(await run(curl, [...options, `ftps://localhost:${secure.port}/hello.txt`])).toMatchObject({
      output: 'hello',
    });
  });

  it('works for 20 clients at once, each with its own file in each direction', patient, async () => {
    const { files, own, port } = await served();
    await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const hash = await randomFile(join(own, `up-${index}`), 1_000_000 + index);
        const url = `ftp://127.0.0.1:${port}/file-${index}`;
        expect(await run(curl, ['-sS', '-T', join(own, `up-${index}`), url])).toMatchObject({ status: 0 });
        expect(await run(curl, ['-sS', '-o', join(own, `down-${index}`), url])).toMatchObject({ status: 0 });
        expect(await hashOf(join(own, `down-${index}`))).toBe(hash);
      }),
    );
    expect((await readdir(files)).length).toBe(22);
  });

  it('cannot leave the served folder', async () => {
    const { files, port } = await served();
    await symlink('/etc', join(files, 'etc'));
    for (const path of ['etc/passwd', '%2Fetc/passwd', '..%2F..%2F..%2Fetc/passwd', '../../../etc/passwd']) {
      const { status, output } = await run(curl, ['-sS', '--path-as-is', `ftp://127.0.0.1:${port}/${path}`]);
      expect({ status, output }).toEqual({ status: path.startsWith('etc') ? 9 : expect.any(Number), output: '' });
      expect(status).not.toBe(0);
    }
  });

  it('leaves nothing on the server when curl is killed during an upload', async () => {
    const { files, own, port } = await served();
    await randomFile(join(own, 'up'), 5_000_000);
    const child = start(curl, ['-sS', '--limit-rate', '1M', '-T', join(own, 'up'), `ftp://127.0.0.1:${port}/new`]);
    while ((await readdir(files)).length < 3) await delay(10);
    child.kill('SIGKILL');
    while ((await readdir(files)).length > 2) await delay(10);
    expect((await readdir(files)).sort()).toEqual(['hello.txt', 'sub']);
  });
});

describeWith('lftp with the FTP server', ['lftp'], ([lftp]) => {
  const settings = 'set net:max-retries 2; set net:timeout 10; set ssl:verify-certificate no;';

  it.each([
    ['in the clear', [], 'set ftp:ssl-allow no;'],
    ['encrypted', withTls, 'set ftp:ssl-force yes; set ftp:ssl-protect-data yes; set ftp:ssl-protect-list yes;'],
    ['encrypted and active', withTls, 'set ftp:ssl-force yes; set ftp:ssl-protect-data yes; set ftp:passive-mode no;'],
    ['with MLSD', [], 'set ftp:ssl-allow no; set ftp:use-mlsd yes;'],
  ])('mirrors a tree down and up, %s', patient, async (_, options, more) => {
    const { files, own, port } = await served(...options);
    const hash = await randomFile(join(files, 'sub', 'random'), 3_000_000);
    const script = `${settings} ${more} mirror / ${own}/down; mirror -R ${own}/down /up; bye`;
    const { status, errors } = await run(lftp, ['-e', script, '-p', String(port), '127.0.0.1']);
    expect({ status, errors }).toEqual({ status: 0, errors: '' });
    expect((await readdir(join(own, 'down'), { recursive: true })).sort()).toEqual(
      ['hello.txt', 'sub', 'sub/deep', 'sub/deep/empty', 'sub/random', 'sub/ü and spaces.txt'].sort(),
    );
    expect(await hashOf(join(files, 'up', 'sub', 'random'))).toBe(hash);
    expect(await readFile(join(files, 'up', 'sub', 'ü and spaces.txt'), 'utf8')).toBe('UTF-8');
  });

  it('resumes a download after the server was killed and restarted', patient, async () => {
    const { files, own, port, server, address } = await served();
    const hash = await randomFile(join(files, 'large'), 8_000_000);
    const script = `set net:reconnect-interval-base 1; set net:limit-rate 4M; set ftp:ssl-allow no; get large -o ${own}/large; bye`;
    const getting = run(lftp, ['-e', script, '-p', String(port), '127.0.0.1']);
    const size = async (): Promise<number> => (await stat(join(own, 'large')).catch(() => ({ size: 0 }))).size;
    while ((await size()) < 1_000_000) await delay(20);
    await server.interrupt('SIGKILL');
    await startServer(address, files);
    expect(await getting).toMatchObject({ status: 0 });
    expect(await hashOf(join(own, 'large'))).toBe(hash);
  });
});

describeWith('tnftp with the FTP server', ['tnftp'], ([tnftp]) => {
  it('gets, puts and resumes files, by names and by patterns', async () => {
    const { files, own, port } = await served();
    await writeFile(join(own, 'up.txt'), 'from below');
    await writeFile(join(own, 'hello.txt'), 'hello\n');
    const input = [
      `open 127.0.0.1 ${port}`,
      'user anonymous me@',
      `lcd ${own}`,
      'binary',
      'put up.txt sub/up.txt',
      'append up.txt sub/up.txt',
      'reget hello.txt',
      'cd sub',
      'mget *.txt',
      'size up.txt',
      'mkdir made',
      'rename up.txt made/there.txt',
      'pwd',
      'ascii',
      'get made/there.txt ascii.txt',
      'bye',
      '',
    ].join('\n');
    const { status, output, errors } = await run(tnftp, ['-n', '-i'], { input });
    expect({ status, errors }).toEqual({ status: 0, errors: '' });
    expect(output).toContain('Remote directory: /sub');
    expect(await readFile(join(own, 'hello.txt'), 'utf8')).toBe('hello\nworld\n');
    expect(await readFile(join(own, 'ü and spaces.txt'), 'utf8')).toBe('UTF-8');
    expect(await readFile(join(own, 'up.txt'), 'utf8')).toBe('from belowfrom below');
    expect(await readFile(join(own, 'ascii.txt'), 'utf8')).toBe('from belowfrom below');
    expect(await readdir(join(files, 'sub', 'made'))).toEqual(['there.txt']);
  });
});

describeWith("Python's ftplib with the FTP server", ['python3'], ([python]) => {
  it('lists, gets, puts, resumes and aborts in active and passive mode, clear and encrypted', patient, async () => {
    const { files, port } = await served(...withTls);
    const hash = await randomFile(join(files, 'large'), 20_000_000);
    const script = `
import ftplib, hashlib, io, ssl

context = ssl.create_default_context(cafile=${JSON.stringify(file('authority.pem'))})
for secure in (False, True):
    ftp = ftplib.FTP_TLS(context=context) if secure else ftplib.FTP()
    ftp.connect('localhost', ${port}, timeout=15)
    ftp.login()
    if secure: ftp.prot_p()
    for passive in (True, False):
        ftp.set_pasv(passive)
        assert sorted(ftp.nlst()) == ['hello.txt', 'large', 'sub'], ftp.nlst()
        assert dict(ftp.mlsd())['sub']['type'] == 'dir'
        digest = hashlib.sha256()
        ftp.retrbinary('RETR large', digest.update)
        assert digest.hexdigest() == '${hash}'
        assert ftp.size('large') == 20000000
        ftp.storbinary('STOR ü"new', io.BytesIO(b'0123456789'))
        ftp.storbinary('STOR ü"new', io.BytesIO(b'xyz'), rest=5)
        data = io.BytesIO()
        ftp.retrbinary('RETR ü"new', data.write, rest=3)
        assert data.getvalue() == b'34xyz', data.getvalue()
        ftp.storlines('STOR text', io.BytesIO(b'one\\ntwo\\n'))
        lines = []
        ftp.retrlines('RETR text', lines.append)
        assert lines == ['one', 'two']
        ftp.voidcmd('TYPE I')
        assert ftp.size('text') == 8
        assert ftp.mkd('q"q') == '/q"q'
        ftp.cwd('q"q')
        assert ftp.pwd() == '/q"q'
        ftp.cwd('..')
        ftp.rmd('q"q')
        ftp.rename('text', 'other')
        ftp.delete('other')
        ftp.delete('ü"new')
    ftp.set_pasv(True)
    if not secure:  # with TLS, urgent data is not part of the stream
        connection = ftp.transfercmd('RETR large')
        connection.recv(1000)
        assert ftp.abort().startswith('426')
        connection.close()
        assert ftp.voidresp().startswith('226')
        connection = ftp.transfercmd('STOR half')
        connection.sendall(b'x' * 100000)
        assert ftp.abort().startswith('426')
        connection.close()
        assert ftp.voidresp().startswith('226')
        assert sorted(ftp.nlst()) == ['hello.txt', 'large', 'sub'], ftp.nlst()
    ftp.quit()
print('done')
`;
    const { output, errors } = await run(python, ['-c', script]);
    expect({ output, errors }).toEqual({ output: 'done\n', errors: '' });
  });
});
