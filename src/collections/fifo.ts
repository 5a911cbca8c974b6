/** So many that were taken are worth making room for. */
const smallest = 16;

/**
 * What is taken in the order in which it was added. Unlike an array's `shift`, which moves all that is left once there
 * are many thousands, taking costs the same however long it is.
 */
export class Fifo<T> {
  private items: T[] = [];
  private head = 0;

  get length(): number {
    return this.items.length - this.head;
  }

  /** The one that is taken next. */
  get first(): T | undefined {
    return this.items[this.head];
  }

  /** Gives the first that is wanted, and leaves it where it is. */
  find(isWanted: (item: T) => boolean): T | undefined {
    for (let index = this.head; index < this.items.length; index++) {
      if (isWanted(this.items[index]!)) return this.items[index];
    }
    return undefined;
  }

  push(item: T): void {
    this.items.push(item);
  }

  /** Takes the first, or gives `undefined` where there is none. */
  shift(): T | undefined {
    const { items, head } = this;
    if (head === items.length) return undefined;
    const item = items[head];
    // Not kept alive by a queue that has let go of it.
    items[head] = undefined as T;
    this.head = head + 1;
    // What was taken makes room once it is the larger part: each item is moved once at most, on average.
    if (this.head >= smallest && this.head * 2 >= items.length) {
      items.splice(0, this.head);
      this.head = 0;
    }
    return item;
  }

  clear(): void {
    this.items = [];
    this.head = 0;
  }
}
