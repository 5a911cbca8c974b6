const octet = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const dotted = new RegExp(`^${octet}(?:\\.${octet}){3}$`);

/** Tells whether `text` is four decimal numbers from 0 to 255, none of which begins with a zero that could mean octal. */
export function isIPv4(text: string): boolean {
  return dotted.test(text);
}

/** Tells whether `text` is an IPv6 address without a zone. `node:net` is for the transports alone, so URL judges it. */
export function isIPv6(text: string): boolean {
  return /^[\da-f:.]+$/i.test(text) && URL.canParse(`http://[${text}]`);
}

/** Gives the family of an IP address, of an IPv6 one also with a zone (`fe80::1%eth0`); `undefined` for any other text. */
export function ipFamily(text: string): 4 | 6 | undefined {
  if (isIPv4(text)) return 4;
  return isIPv6(text.replace(/%[^\s%]+$/, '')) ? 6 : undefined;
}

/** Gives the 4 bytes of an IPv4 address or the 16 of an IPv6 address; `undefined` for any other text. */
export function ipBytes(text: string): Uint8Array | undefined {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number);
  if (!isIPv6(text)) return undefined;
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const [front = '', back = ''] = canonical(text).split('::');
  const [first, last] = [groups(front), groups(back)];
  const zeros = Array<string>(8 - first.length - last.length).fill('0');
  return Buffer.from([...first, ...zeros, ...last].map((group) => group.padStart(4, '0')).join(''), 'hex');
}

/** Writes 4 or 16 bytes as an address in its canonical form, which is the one that Node uses for a socket's peer. */
export function ipText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const hex = Buffer.from(bytes).toString('hex');
  return canonical((hex.match(/.{4}/g) ?? []).join(':'));
}

/** Gives the IPv4 address within an IPv4-mapped one (`::ffff:10.0.0.1`), and every other address as it is. */
export function unmapped(bytes: Uint8Array): Uint8Array {
  const isMapped = bytes.length === 16 && bytes.subarray(0, 12).every((byte, at) => byte === (at < 10 ? 0 : 0xff));
  return isMapped ? bytes.subarray(12) : bytes;
}

function canonical(ipV6: string): string {
  return new URL(`http://[${ipV6}]`).hostname.slice(1, -1);
}
