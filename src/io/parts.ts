/** A part of what is too much for one write. */
interface Part {
  readonly pieces: Uint8Array[];
  size: number;
  /** Whether it begins with the first byte of a value. */
  readonly begins: boolean;
}

/** What is too much for one write, in the order in which it is written: a slow peer's progress is seen part by part. */
export class Parts {
  /** In bytes. */
  size: number;
  private readonly list: Part[];

  constructor(list: Part[] = []) {
    this.list = list;
    this.size = list.reduce((sum, part) => sum + part.size, 0);
  }

  /** Takes the first one out. */
  shift(): Part | undefined {
    const part = this.list.shift();
    if (part !== undefined) this.size -= part.size;
    return part;
  }

  /** Takes out all that comes after the value that is cut through by what was taken out before. */
  splitWhole(): Parts {
    const index = this.list.findIndex(({ begins }) => begins);
    const whole = new Parts(index === -1 ? [] : this.list.splice(index));
    this.size -= whole.size;
    return whole;
  }
}

/** Where nothing waits. */
export const noParts: Parts = new Parts();

/**
 * Cuts into parts of at most `limit` bytes each, which end between two values where they can.
 *
 * @param starts - where some of the values begin
 */
export function cutIntoParts(pieces: readonly Uint8Array[], starts: readonly number[], limit: number): Parts {
  const parts: Part[] = [];
  let next = 0;
  let part: Part = { pieces: [], size: 0, begins: true };
  let end = 0;
  let at = 0;
  for (const piece of pieces) {
    for (let start = 0; start < piece.length;) {
      if (at === end) {
        part = { pieces: [], size: 0, begins: at === 0 || starts[next - 1] === at };
        parts.push(part);
        end = at + Math.floor(limit);
        const first = next;
        // The rest of a value that was cut through makes a part of its own.
        while ((starts[next] ?? Infinity) <= end && (part.begins || next === first)) next++;
        if (next > first) end = starts[next - 1] as number;
      }
      const slice = piece.subarray(start, start + end - at);
      part.pieces.push(slice);
      part.size += slice.length;
      start += slice.length;
      at += slice.length;
    }
  }
  return new Parts(parts);
}
