/**
 * What the sockets of Node read into, one after the other: no memory has to be got for each chunk, and what is in it is
 * in the processor's cache. So a chunk that lies here is only lent: it is valid until its delivery ends, and whoever
 * keeps any of it has copied it by then.
 */
export const readBlock: Buffer = Buffer.allocUnsafeSlow(65_536);

const memory: ArrayBufferLike = readBlock.buffer;

/**
 * Marks a decoder that keeps no view of what waits, and gives none but by `take`: what it decodes may be lent. The
 * others, those of users among them, are given memory that they may keep. The mark is the decoder itself, since what
 * a user makes of one of ours has its properties, too.
 */
export const copying: unique symbol = Symbol('rxjs-sockets.copying');

/** Whether `decoder` keeps nothing of what it decodes. */
export function isCopying(decoder: object): boolean {
  return (decoder as { readonly [copying]?: unknown })[copying] === decoder;
}

/** Marks one that is no instance of a class. */
export function marked<T extends object>(decoder: T): T {
  return Object.defineProperty(decoder, copying, { value: decoder });
}

let lending = false;

/** Whether a chunk that is lent is being delivered. */
export function isLending(): boolean {
  return lending;
}

/** Whether bytes that lie in `of` are only lent. */
export function isLent(of: ArrayBufferLike): boolean {
  return of === memory;
}

/** A delivery out of `readBlock` begins. */
export function beginLoan(): void {
  lending = true;
}

/** The delivery has ended: what is in `readBlock` is about to be overwritten. */
export function endLoan(): void {
  lending = false;
}
