import { returnSlab, slabLimit, takeSlab } from '../bytes/slab-pool.js';

/** Up to here bytes are copied together with others; what is longer is kept by reference. */
export const copied = 4_096;

const nothing: never[] = [];

/** Bytes that are ready to be written: complete pieces, then an open slab that small ones are copied into. */
export class BufferList {
  protected pieces: Uint8Array[] = nothing;
  /** The bytes of the pieces. */
  protected piecesSize = 0;
  protected slab: Buffer | undefined = undefined;
  protected slabEnd = 0;
  /** All that were taken, to be given back. */
  protected slabs: Buffer[] = nothing;

  private markedPieces = 0;
  private markedPiecesSize = 0;
  private markedSlab: Buffer | undefined = undefined;
  private markedSlabEnd = 0;
  private markedSlabs = 0;

  /** Remembers what there is, so that all that comes after it can be dropped. */
  protected mark(): void {
    this.markedPieces = this.pieces.length;
    this.markedPiecesSize = this.piecesSize;
    this.markedSlab = this.slab;
    this.markedSlabEnd = this.slabEnd;
    this.markedSlabs = this.slabs.length;
  }

  protected returnToMark(): void {
    this.pieces.length = this.markedPieces;
    this.piecesSize = this.markedPiecesSize;
    this.slab = this.markedSlab;
    this.slabEnd = this.markedSlabEnd;
    // Of many values that are dropped while a peer takes nothing, none may leave its slab behind.
    while (this.slabs.length > this.markedSlabs) returnSlab(this.slabs.pop()!);
  }

  protected addPiece(piece: Uint8Array): void {
    if (this.pieces.length === 0) this.pieces = [piece];
    else this.pieces.push(piece);
    this.piecesSize += piece.length;
  }

  /** Makes room for `length` more bytes in the open slab, counts them as used and gives the slab. */
  protected room(length: number): Buffer {
    const end = this.slabEnd + length;
    let slab = this.slab;
    if (slab === undefined || end > slab.length) {
      if (slab !== undefined && end > slabLimit) {
        this.sealSlab();
        return this.room(length);
      }
      const larger = takeSlab(end);
      if (this.slabs.length === 0) this.slabs = [larger];
      else this.slabs.push(larger);
      // The smaller slab is left as it is: a rollback may return to it.
      if (slab !== undefined) larger.set(slab.subarray(0, this.slabEnd));
      slab = larger;
      this.slab = larger;
    }
    this.slabEnd = end;
    return slab;
  }

  /** Makes a piece of a copy of `bytes`. */
  protected addCopy(bytes: Uint8Array): void {
    const { length } = bytes;
    const slab = takeSlab(length);
    slab.set(bytes);
    if (this.slabs.length === 0) this.slabs = [slab];
    else this.slabs.push(slab);
    this.addPiece(length === slab.length ? slab : slab.subarray(0, length));
  }

  /** Makes a piece of the open slab. */
  protected sealSlab(): void {
    if (this.slab === undefined) return;
    if (this.slabEnd > 0) this.addPiece(this.slab.subarray(0, this.slabEnd));
    this.slab = undefined;
    this.slabEnd = 0;
  }

  /** Forgets everything; the slabs serve again only where nobody reads them any more. */
  protected clearPieces(reusable: boolean): void {
    if (reusable) for (const slab of this.slabs) returnSlab(slab);
    this.slabs = nothing;
    this.pieces = nothing;
    this.piecesSize = 0;
    this.slab = undefined;
    this.slabEnd = 0;
    // A slab that serves again elsewhere is not to be kept.
    this.markedSlab = undefined;
  }
}
