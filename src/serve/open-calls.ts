/** A place in the list of open calls. */
export interface Place<C> {
  readonly call: C;
  earlier: Place<C> | undefined;
  later: Place<C> | undefined;
}

/**
 * The open calls, in the order in which they began. A list and not a Set: as
 * calls come and go V8 makes a Set's table anew again and again, and dead tables
 * keep what stood in them through every minor garbage collection.
 */
export class OpenCalls<C> implements Iterable<C> {
  #size = 0;
  #first: Place<C> | undefined;
  #last: Place<C> | undefined;

  /** How many there are. */
  get size(): number {
    return this.#size;
  }

  /** Adds a call, and returns its place, by which it is taken out. */
  add(call: C): Place<C> {
    const place: Place<C> = { call, earlier: this.#last, later: undefined };
    if (this.#last === undefined) {
      this.#first = place;
    } else {
      this.#last.later = place;
    }
    this.#last = place;
    this.#size++;
    return place;
  }

  /** Takes a call out. Once for each place. */
  delete(place: Place<C>): void {
    const { earlier, later } = place;
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
    place.earlier = undefined;
    place.later = undefined;
    this.#size--;
  }

  /** The calls that are open at the beginning of the iteration. */
  [Symbol.iterator](): IterableIterator<C> {
    const calls: C[] = [];
    for (let place = this.#first; place !== undefined; place = place.later) {
      calls.push(place.call);
    }
    return calls.values();
  }
}
