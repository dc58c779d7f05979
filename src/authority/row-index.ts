/** A slot is two numbers: the hash, and the row's number plus one, so that 0 says that it is free. */
const slotWords = 2;
const free = 0;

const leastBits = 4;
const hashBits = 32;

/**
 * Finds the numbers of rows by hashes of 32 bits, of which several rows may have
 * the same. A hash table with open addressing in one typed array, so that the
 * garbage collector has nothing to walk through: a row stands in the slot that
 * the first bits of its hash name, or in the next free one after it. At least
 * half of the slots are free, and a removal leaves no gap between a row and its
 * own slot.
 *
 * With twice the slots a row's own slot is named by one bit more, so that its order
 * among the others stays: growing reads and writes memory from the front to the
 * back. At a million rows that takes some 40 ms, once.
 */
export class RowIndex {
  #bits = leastBits;
  #slots = new Uint32Array(slotWords << leastBits);
  #size = 0;

  /** Finds the row with this hash of which `isSought` is true. */
  find(hash: number, isSought: (row: number) => boolean): number | undefined {
    for (let slot = this.#ownSlot(hash); ; slot = this.#after(slot)) {
      const row = this.#rowIn(slot);
      if (row === undefined) {
        return undefined;
      }
      if (this.#hashIn(slot) === hash && isSought(row)) {
        return row;
      }
    }
  }

  /** Adds a row that is not there yet. */
  add(hash: number, row: number): void {
    this.#size++;
    if (this.#size > this.#slotCount / 2) {
      this.#resize(this.#bits + 1);
    }
    this.#insert(hash, row);
  }

  /**
   * Gives a row another number.
   *
   * @throws Error if the row is not there.
   */
  renumber(hash: number, row: number, newRow: number): void {
    this.#set(this.#slotOf(hash, row), hash, newRow);
  }

  /**
   * Removes a row.
   *
   * @throws Error if the row is not there.
   */
  remove(hash: number, row: number): void {
    let gap = this.#slotOf(hash, row);
    for (let slot = this.#after(gap); ; slot = this.#after(slot)) {
      const next = this.#rowIn(slot);
      if (next === undefined) {
        break;
      }
      const nextHash = this.#hashIn(slot);
      // What stands behind the gap moves into it, unless its own slot is behind the gap too.
      if (this.#distance(this.#ownSlot(nextHash), slot) >= this.#distance(gap, slot)) {
        this.#set(gap, nextHash, next);
        gap = slot;
      }
    }
    this.#slots[slotWords * gap + 1] = free;
    this.#size--;
    if (this.#bits > leastBits && this.#size < this.#slotCount / 8) {
      this.#resize(this.#bits - 1);
    }
  }

  get #slotCount(): number {
    return 2 ** this.#bits;
  }

  #ownSlot(hash: number): number {
    return hash >>> (hashBits - this.#bits);
  }

  #after(slot: number): number {
    return (slot + 1) & (this.#slotCount - 1);
  }

  /** How many steps lead from one slot to another. */
  #distance(from: number, to: number): number {
    return (to - from) & (this.#slotCount - 1);
  }

  #hashIn(slot: number): number {
    return this.#slots[slotWords * slot] ?? 0;
  }

  #rowIn(slot: number): number | undefined {
    const number = this.#slots[slotWords * slot + 1] ?? free;
    return number === free ? undefined : number - 1;
  }

  #set(slot: number, hash: number, row: number): void {
    this.#slots[slotWords * slot] = hash;
    this.#slots[slotWords * slot + 1] = row + 1;
  }

  #slotOf(hash: number, row: number): number {
    for (let slot = this.#ownSlot(hash); ; slot = this.#after(slot)) {
      const found = this.#rowIn(slot);
      if (found === row) {
        return slot;
      }
      if (found === undefined) {
        throw new Error("the index has no such row");
      }
    }
  }

  #insert(hash: number, row: number): void {
    let slot = this.#ownSlot(hash);
    while (this.#rowIn(slot) !== undefined) {
      slot = this.#after(slot);
    }
    this.#set(slot, hash, row);
  }

  #resize(bits: number): void {
    const before = this.#slots;
    this.#bits = bits;
    this.#slots = new Uint32Array(slotWords * this.#slotCount);
    for (let i = 0; i < before.length; i += slotWords) {
      const number = before[i + 1] ?? free;
      if (number !== free) {
        this.#insert(before[i] ?? 0, number - 1);
      }
    }
  }
}
