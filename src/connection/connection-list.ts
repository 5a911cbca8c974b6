/** What a {@link ConnectionList} has: it is linked itself, so that nothing is allocated for it. */
export interface Listed<T> {
  earlier: T | undefined;
  later: T | undefined;
}

/**
 * Those who are here, in the order in which they came. A Set alone would do, but for the collector of new objects: V8
 * chains each table that a Set has outgrown to the next one, so that once one of them is old, whoever has ever been in
 * the Set stays in memory until the next collection of everything. So there is a Set only where somebody wants to see it.
 */
export class ConnectionList<T extends Listed<T>> {
  size = 0;
  private first: T | undefined;
  private last: T | undefined;
  private shown: Set<T> | undefined;

  /** Always the same one, which changes with this. */
  get set(): ReadonlySet<T> {
    this.shown ??= new Set(this.all());
    return this.shown;
  }

  all(): T[] {
    const list: T[] = [];
    for (let one = this.first; one !== undefined; one = one.later) list.push(one);
    return list;
  }

  /** @param one - which is not here */
  add(one: T): void {
    one.earlier = this.last;
    if (this.last === undefined) this.first = one;
    else this.last.later = one;
    this.last = one;
    this.size++;
    this.shown?.add(one);
  }

  /** @param one - which is here */
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
