import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lookupService, servicePort } from '../../src/address-parsing/services-file.js';

const text = `
# Network services, Internet style
echo		7/udp
echo		7/tcp
http		80/tcp		www www-http	# WorldWideWeb HTTP
snmp		161/udp
shell 514/tcp cmd # no passwords: used by rsh, not rlogin
twice 1/tcp
twice 2/tcp
#ghost	9/tcp
	indented  10/tcp
huge 65536/tcp
odd
odd x/tcp
odd 11
odd 11/tcpx
odd 12/tcp`;

describe('servicePort', () => {
  it.each<[string, number | undefined]>([
    ['http', 80],
    ['www', 80],
    ['www-http', 80],
    ['cmd', 514],
    ['echo', 7],
    ['twice', 1],
    ['indented', 10],
    ['odd', 12],
    ['snmp', undefined],
    ['ghost', undefined],
    ['#ghost', undefined],
    ['huge', undefined],
    ['HTTP', undefined],
    ['80/tcp', undefined],
    ['WorldWideWeb', undefined],
    ['rsh', undefined],
    ['', undefined],
  ])('A3: the TCP port of %o is %o', (name, port) => {
    expect(servicePort(text, name)).toBe(port);
    expect(servicePort(text.replaceAll('\n', '\r\n'), name)).toBe(port);
  });

  it('A3: finds every service of the file by its name and by its aliases', () => {
    const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,15}$/);
    const entry = fc.record({ names: fc.array(word, { minLength: 1, maxLength: 4 }), port: fc.nat(65_535) });
    fc.assert(
      fc.property(fc.array(entry), (entries) => {
        const lines = entries.map(
          ({ names: [name, ...aliases], port }) => `${name} ${port}/tcp ${aliases.join(' ')} # c`,
        );
        for (const { names } of entries) {
          for (const name of names) {
            const first = entries.find((other) => other.names.includes(name));
            expect(servicePort(lines.join('\n'), name)).toBe(first?.port);
          }
        }
      }),
    );
  });
});

describe('lookupService', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'rxjs-sockets-services-'));
    writeFileSync(join(folder, 'services'), text);
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  it('A3: finds a service in the given file', () => {
    expect(lookupService('www', join(folder, 'services'))).toBe(80);
  });

  it('A3: fails with ERR_ADDRESS_INVALID for an unknown service; the error names the service and the file', () => {
    const file = join(folder, 'services');
    expect(() => lookupService('gopher', file)).toThrow(
      expect.objectContaining({
        code: 'ERR_ADDRESS_INVALID',
        message: `service "gopher" has no TCP entry in ${file}`,
      }),
    );
  });

  it('A3: fails with ERR_ADDRESS_INVALID for a missing file; the error names the file and has a cause', () => {
    const file = join(folder, 'missing');
    expect(() => lookupService('http', file)).toThrow(
      expect.objectContaining({
        code: 'ERR_ADDRESS_INVALID',
        message: expect.stringContaining(`service "http" can't be looked up: ${file} can't be read`),
        cause: expect.objectContaining({ code: 'ENOENT' }),
      }),
    );
  });
});
