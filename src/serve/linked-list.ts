/** What can be in a {@link LinkedList}, one at a time. Only the list writes here. */
export interface Linked<L> {
  /** What was added before this one. */
  earlier: L | undefined;
  /** What was added after this one. */
  later: L | undefined;
}

/**
 * A list whose entries are its links, in the order in which they were added. A
 * list and not a Set: as calls come and go V8 makes a Set's table anew again and
 * again, and dead tables keep what stood in them through every minor garbage
 * collection.
 */
export class LinkedList<L extends Linked<L>> implements Iterable<L> {
  #size = 0;
  #first: L | undefined;
  #last: L | undefined;

  /** How many entries there are. */
  get size(): number {
    return this.#size;
  }

  /** The entry that was added first. */
  get first(): L | undefined {
    return this.#first;
  }

  /** Adds an entry that is in no list. */
  add(entry: L): void {
    entry.earlier = this.#last;
    if (this.#last === undefined) {
      this.#first = entry;
    } else {
      this.#last.later = entry;
    }
    this.#last = entry;
    this.#size++;
  }

  /** Takes out an entry that is in this list. */
  delete(entry: L): void {
    const { earlier, later } = entry;
    if (earlier === undefined) {
      this.#first = later;
    } else {
      earlier.later = later;
    }
    if (later === undefined) {
      this.#last = earlier;
    } else {
      later.earlier = earlier;
    }
    // What is old and gone must not keep its neighbours.
    entry.earlier = undefined;
    entry.later = undefined;
    this.#size--;
  }

  /** The entries that there are at the beginning of the iteration. */
  [Symbol.iterator](): IterableIterator<L> {
    const entries: L[] = [];
    for (let entry = this.#first; entry !== undefined; entry = entry.later) {
      entries.push(entry);
    }
    return entries.values();
  }
}
