import net from 'node:net';
import type { Address } from 'rxjs-sockets';
import { type Place, tcp, unix } from '../transport/places.js';
import { rawServer } from './plain-sockets.js';

/** The address of a relay to `address`. The relay records in `heard` the bytes that come from `address`. */
export async function tapAt(place: Place, address: Address, heard: Buffer[]): Promise<Address> {
  const plain = place.name === 'tls' || place.name === 'tcp' ? tcp : unix;
  return rawServer(plain, (near) => {
    const far =
      address.transport === 'tcp' ? net.connect(address.port) : net.connect((address as { path: string }).path);
    far.on('error', () => near.destroy());
    far.on('data', (chunk) => {
      heard.push(chunk);
      near.write(chunk);
    });
    far.on('end', () => near.end());
    near.pipe(far);
    near.on('close', () => far.destroy());
  });
}

/**
 * The type and the version of the last TLS record that was sent, in hex. If the type is not that of an alert, the
 * length follows, because TLS 1.3 hides the type of an alert.
 */
export function lastRecord(bytes: Buffer): string {
  let at = 0;
  for (let next = 0; next < bytes.length; next += 5 + bytes.readUInt16BE(next + 3)) at = next;
  return bytes.toString('hex', at, at + (bytes[at] === 0x15 ? 3 : 5));
}
