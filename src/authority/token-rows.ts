/** A row: the digest, the run's id, the end of the token as a float. */
const digestBytes = 32;
const runIdAt = digestBytes;
const activeUntilAt = runIdAt + 8;
const rowBytes = activeUntilAt + 8;

/** 192 KiB: what an authority with one token has, and what it grows by. */
const rowsPerPage = 4096;

/**
 * Tokens in numbered rows of 48 bytes, without gaps. The memory is the process's,
 * not the JavaScript heap's: a million tokens as objects are dear for every call,
 * since the garbage collector walks through them and lets the heap grow by as much.
 * It grows and shrinks by pages, so that nothing is ever copied as a whole.
 */
export class TokenRows {
  readonly #pages: DataView[] = [];
  #count = 0;

  /** How many rows there are; they have the numbers below. */
  get count(): number {
    return this.#count;
  }

  /** Adds a row, and returns its number: the highest. */
  add(digest: DataView, runId: bigint, activeUntilMs: number): number {
    const row = this.#count;
    if (row === this.#pages.length * rowsPerPage) {
      this.#pages.push(new DataView(new ArrayBuffer(rowsPerPage * rowBytes)));
    }
    this.#count++;
    const page = this.#pageOf(row);
    const at = placeOf(row);
    for (let i = 0; i < digestBytes; i += 4) {
      page.setUint32(at + i, digest.getUint32(i));
    }
    page.setBigUint64(at + runIdAt, runId);
    page.setFloat64(at + activeUntilAt, activeUntilMs);
    return row;
  }

  /** Removes a row. The last one gets its number. */
  remove(row: number): void {
    const last = this.#count - 1;
    const from = this.#pageOf(last);
    const to = this.#pageOf(row);
    for (let i = 0; i < rowBytes; i += 4) {
      to.setUint32(placeOf(row) + i, from.getUint32(placeOf(last) + i));
    }
    this.#count = last;
    // One page more than needed stays, for those that add and remove at a page's edge.
    if (this.#count <= (this.#pages.length - 2) * rowsPerPage) {
      this.#pages.pop();
    }
  }

  /** Tells whether a row has a digest; all of it is compared. */
  hasDigest(row: number, digest: DataView): boolean {
    const page = this.#pageOf(row);
    const at = placeOf(row);
    for (let i = 0; i < digestBytes; i += 4) {
      if (page.getUint32(at + i) !== digest.getUint32(i)) {
        return false;
      }
    }
    return true;
  }

  /** The first 32 bits of a row's digest. */
  digestHash(row: number): number {
    return this.#pageOf(row).getUint32(placeOf(row));
  }

  /** The run of a row. */
  runId(row: number): bigint {
    return this.#pageOf(row).getBigUint64(placeOf(row) + runIdAt);
  }

  /** The last millisecond since the epoch at which a row's token is good. */
  activeUntilMs(row: number): number {
    return this.#pageOf(row).getFloat64(placeOf(row) + activeUntilAt);
  }

  /** @throws RangeError if there is no such row. */
  #pageOf(row: number): DataView {
    const page = row < this.#count ? this.#pages[Math.floor(row / rowsPerPage)] : undefined;
    if (page === undefined) {
      throw new RangeError("there is no such row");
    }
    return page;
  }
}

/** Where a row begins in its page. */
function placeOf(row: number): number {
  return (row % rowsPerPage) * rowBytes;
}
