/** A member of a {@link ConnectionList}. Each member holds the links to its neighbours, so the list needs no nodes. */
export interface Listed<T> {
  earlier: T | undefined;
  later: T | undefined;
}

/**
 * The open connections of a server, oldest first. A Set would keep closed connections in memory, because V8 links the
 * old table of a growing Set to the new table. Everything in the old table can then stay in memory until the next full
 * garbage collection. So the list makes a Set only when `set` is read.
 */
export class ConnectionList<T extends Listed<T>> {
  size = 0;
  private first: T | undefined;
  private last: T | undefined;
  private liveSet: Set<T> | undefined;

  /** The members as a Set, which changes together with the list. Each access returns the same Set. */
  get set(): ReadonlySet<T> {
    this.liveSet ??= new Set(this.all());
    return this.liveSet;
  }

  all(): T[] {
    const members: T[] = [];
    for (let member = this.first; member !== undefined; member = member.later) members.push(member);
    return members;
  }

  /** Adds `member`, which must not be in the list. */
  add(member: T): void {
    member.earlier = this.last;
    if (this.last === undefined) this.first = member;
    else this.last.later = member;
    this.last = member;
    this.size++;
    this.liveSet?.add(member);
  }

  /** Removes `member`, which must be in the list. */
  remove(member: T): void {
    const { earlier, later } = member;
    if (earlier === undefined) this.first = later;
    else earlier.later = later;
    if (later === undefined) this.last = earlier;
    else later.earlier = earlier;
    member.earlier = member.later = undefined;
    this.size--;
    this.liveSet?.delete(member);
  }
}
