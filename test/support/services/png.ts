import { inflateSync } from 'node:zlib';

/** The pixels of a PNG with 8 bits per sample, with or without alpha, and not interlaced. */
export class Picture {
  readonly width: number;
  readonly height: number;
  private readonly channels: number;
  private readonly rows: Buffer[] = [];

  constructor(png: Buffer) {
    const data: Buffer[] = [];
    for (let at = 8; at < png.length; at += png.readUInt32BE(at) + 12) {
      if (png.toString('latin1', at + 4, at + 8) === 'IDAT')
        data.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)));
    }
    this.width = png.readUInt32BE(16);
    this.height = png.readUInt32BE(20);
    const [depth, colours, , , interlace] = png.subarray(24, 29);
    if (depth !== 8 || (colours !== 2 && colours !== 6) || interlace !== 0) throw new Error('an unsupported PNG');
    this.channels = colours === 6 ? 4 : 3;
    const pixels = inflateSync(Buffer.concat(data));
    const length = this.width * this.channels + 1;
    let above = Buffer.alloc(length - 1);
    for (let at = 0; at < this.height * length; at += length) {
      above = this.unfiltered(pixels[at]!, pixels.subarray(at + 1, at + length), above);
      this.rows.push(above);
    }
  }

  /** Red, green and blue at a position. */
  colourAt(x: number, y: number): readonly number[] {
    return [...this.rows[y]!.subarray(x * this.channels, x * this.channels + 3)];
  }

  /** Removes the filter of a line (W3C PNG, section 9). */
  private unfiltered(filter: number, line: Buffer, above: Buffer): Buffer<ArrayBuffer> {
    const row = Buffer.from(line);
    for (let i = 0; i < row.length; i++) {
      const left = row[i - this.channels] ?? 0;
      const up = above[i]!;
      const corner = above[i - this.channels] ?? 0;
      row[i] = row[i]! + [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter]!;
    }
    return row;
  }
}

function paeth(left: number, up: number, corner: number): number {
  const guess = left + up - corner;
  const [toLeft, toUp, toCorner] = [left, up, corner].map((value) => Math.abs(guess - value)) as [
    number,
    number,
    number,
  ];
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}
