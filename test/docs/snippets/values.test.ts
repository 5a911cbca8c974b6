import { describe, expect, it } from 'vitest';
import {
  type Address,
  type AddressInput,
  formatAddress,
  type LibraryErrorCode,
  parseAddress,
  SocketError,
  type SocketErrorCode,
  type SystemErrorCode,
} from 'rxjs-sockets';

describe('the examples of addresses show how to', () => {
  it('write an address in each form', () => {
    const inputs: AddressInput[] = [
      'tcp://localhost:7000',
      { port: 7000 },
      { service: 'http' },
      { path: '/run/app.sock' },
    ];
    expect(inputs.map((input) => formatAddress(parseAddress(input)))).toEqual([
      'tcp://localhost:7000',
      'tcp://127.0.0.1:7000',
      'tcp://127.0.0.1:80',
      'unix:/run/app.sock',
    ]);
  });

  it('write a parsed address', () => {
    const address: Address = { transport: 'tcp', host: '127.0.0.1', port: 7000 };
    expect(parseAddress(address)).toEqual(address);
  });

  it('parse an address', () => {
    parseAddress('tls://[::1]:443'); // { transport: 'tcp', host: '::1', port: 443, tls: true }
    parseAddress({ port: 7000 }); // { transport: 'tcp', host: '127.0.0.1', port: 7000 }
    parseAddress('unix:@app'); // { transport: 'unix', path: '\0app' }
    expect(parseAddress('tls://[::1]:443')).toEqual({ transport: 'tcp', host: '::1', port: 443, tls: true });
    expect(parseAddress({ port: 7000 })).toEqual({ transport: 'tcp', host: '127.0.0.1', port: 7000 });
    expect(parseAddress('unix:@app')).toEqual({ transport: 'unix', path: '\0app' });
  });

  it('format an address', () => {
    formatAddress({ transport: 'tcp', host: '::1', port: 443, tls: true }); // 'tls://[::1]:443'
    formatAddress({ transport: 'unix', path: '\0app' }); // 'unix:@app'
    expect(formatAddress({ transport: 'tcp', host: '::1', port: 443, tls: true })).toBe('tls://[::1]:443');
    expect(formatAddress({ transport: 'unix', path: '\0app' })).toBe('unix:@app');
  });
});

describe('the examples of errors show how to', () => {
  it('name the types of error codes', () => {
    const codes = (): SocketErrorCode[] => {
      const library = (): LibraryErrorCode => {
        const code: LibraryErrorCode = 'ERR_CLOSED';
        return code;
      };
      const system = (): SystemErrorCode => {
        const code: SystemErrorCode = 'ECONNREFUSED';
        return code;
      };
      return [library(), system()];
    };
    expect(codes()).toEqual(['ERR_CLOSED', 'ECONNREFUSED']);
  });

  it('decide whether to retry', () => {
    const isWorthARetry = (code: SocketErrorCode): boolean => code === 'ECONNREFUSED' || code === 'ERR_TIMEOUT_CONNECT';
    expect(isWorthARetry('ECONNREFUSED')).toBe(true);
    expect(isWorthARetry('ERR_ADDRESS_INVALID')).toBe(false);
  });

  it('explain an error', () => {
    const explain = (error: SocketError): string =>
      error.code === 'EADDRINUSE' ? 'another process listens there' : error.message;
    expect(explain(new SocketError('EADDRINUSE', 'listen'))).toBe('another process listens there');
  });

  it('throw an error', () => {
    const check = (): never => {
      throw new SocketError('ERR_FRAME_INVALID', 'the checksum is wrong');
    };
    expect(check).toThrow('the checksum is wrong');
  });
});
