/** A member of a {@link ConnectionList}. It is linked itself, so that the list allocates nothing for it. */
export interface Listed<T> {
  earlier: T | undefined;
  later: T | undefined;
}

/**
 * The members, in the order in which they were added. A Set would do if it did not keep garbage: V8 links each table that
 * a Set has outgrown to the next one, so once one of them is old, every former member stays in memory until the next full
 * collection. So a Set is made only when `set` is read.
 */
export class ConnectionList<T extends Listed<T>> {
  size = 0;
  private first: T | undefined;
  private last: T | undefined;
  private shown: Set<T> | undefined;

  /** A live Set of the members, always the same one. */
  get set(): ReadonlySet<T> {
    this.shown ??= new Set(this.all());
    return this.shown;
  }

  all(): T[] {
    const list: T[] = [];
    for (let one = this.first; one !== undefined; one = one.later) list.push(one);
    return list;
  }

  /** @param one - not a member yet */
  add(one: T): void {
    one.earlier = this.last;
    if (this.last === undefined) this.first = one;
    else this.last.later = one;
    this.last = one;
    this.size++;
    this.shown?.add(one);
  }

  /** @param one - a member */
  remove(one: T): void {
    const { earlier, later } = one;
    if (earlier === undefined) this.first = later;
    else earlier.later = later;
    if (later === undefined) this.last = earlier;
    else later.earlier = earlier;
    one.earlier = one.later = undefined;
    this.size--;
    this.shown?.delete(one);
  }
}
