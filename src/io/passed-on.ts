import { borrow, type Borrower, isLent } from '../bytes/shared-read-block.js';
import { copied, BufferList } from './buffer-list.js';

/** What is ready, and behind it a part of somebody else's memory that is passed on as it lies there. */
export class PassedOn extends BufferList implements Borrower {
  protected foreign: ArrayBufferLike | undefined = undefined;
  protected foreignStart = 0;
  protected foreignEnd = 0;
  /** Whether it is to be asked for what it has of a loan. */
  private borrowed = false;

  /** What it has of a loan that ends is copied. */
  settle(): void {
    this.borrowed = false;
    if (this.foreign !== undefined && isLent(this.foreign)) this.sealForeign();
  }

  protected setForeign(memory: ArrayBufferLike, start: number, end: number): void {
    this.foreign = memory;
    this.foreignStart = start;
    this.foreignEnd = end;
    if (!isLent(memory) || this.borrowed) return;
    this.borrowed = true;
    borrow(this);
  }

  protected leaveForeign(): void {
    this.foreign = undefined;
    this.foreignStart = 0;
    this.foreignEnd = 0;
  }

  /**
   * Makes a piece of the part: by reference where it is most of that memory, and a copy where it would keep much more
   * alive, or where that memory is only lent.
   */
  protected sealForeign(): void {
    const length = this.foreignEnd - this.foreignStart;
    const memory = this.foreign as ArrayBufferLike;
    const bytes = Buffer.from(memory, this.foreignStart, length);
    this.leaveForeign();
    if (length <= copied) {
      this.room(length).set(bytes, this.slabEnd - length);
      return;
    }
    this.sealSlab();
    if (isLent(memory)) this.addCopy(bytes);
    else this.addPiece(2 * length >= memory.byteLength ? bytes : Buffer.from(bytes));
  }
}
