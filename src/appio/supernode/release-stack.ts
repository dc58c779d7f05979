/**
 * Things to be let go of together, the last taken first: the part of JavaScript's AsyncDisposableStack that is needed
 * here. Node 22 has the symbols, but not the class.
 */
export class ReleaseStack implements AsyncDisposable {
  #releases: (() => unknown)[] = [];

  /** Adds what lets go of one thing. */
  defer(release: () => unknown): void {
    this.#releases.push(release);
  }

  /** Hands everything over to a new stack; this one is empty then. */
  move(): ReleaseStack {
    const moved = new ReleaseStack();
    moved.#releases = this.#releases;
    this.#releases = [];
    return moved;
  }

  /** Lets go of everything, whatever fails on the way. @throws the first failure */
  async [Symbol.asyncDispose](): Promise<void> {
    const failures: unknown[] = [];
    for (let release = this.#releases.pop(); release; release = this.#releases.pop()) {
      try {
        await release();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
