/** The array is compacted only after this many items have been removed. */
const minRemoved = 16;

/**
 * A queue that removes its first item in constant time on average. The method `shift` of a long array would move all
 * other items.
 */
export class Fifo<T> {
  private items: T[] = [];
  private head = 0;

  get length(): number {
    return this.items.length - this.head;
  }

  get first(): T | undefined {
    return this.items[this.head];
  }

  /** Returns the first item for which `isWanted` is true, and leaves it in the queue. */
  find(isWanted: (item: T) => boolean): T | undefined {
    for (let index = this.head; index < this.items.length; index++) {
      if (isWanted(this.items[index]!)) return this.items[index];
    }
    return undefined;
  }

  push(item: T): void {
    this.items.push(item);
  }

  shift(): T | undefined {
    const { items, head } = this;
    if (head === items.length) return undefined;
    const item = items[head];
    // The array must not keep the removed item alive.
    items[head] = undefined as T;
    this.head = head + 1;
    // At least half of the items have been removed, so on average compacting moves each item at most once.
    if (this.head >= minRemoved && this.head * 2 >= items.length) {
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
