/** The lines that a process writes, as they come. */
export class Lines {
  readonly #all: string[] = [];
  readonly #watchers = new Set<() => void>();
  #end: string | undefined;
  readonly #closed = Promise.withResolvers<void>();

  /** All lines so far. */
  get all(): readonly string[] {
    return this.#all;
  }

  /** Resolves when no more lines come. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  add(line: string): void {
    this.#all.push(line);
    this.#tell();
  }

  /** Says that no more lines come: whoever waits for one is told why. */
  close(reason: string): void {
    this.#end ??= reason;
    this.#closed.resolve();
    this.#tell();
  }

  /** Resolves with what the pattern captures in the first line it fits, past or future. */
  find(pattern: RegExp): Promise<string> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = this.#all.map((line) => pattern.exec(line)).find((match) => match !== null);
        if (found !== undefined) {
          this.#watchers.delete(look);
          resolve(found[1] ?? found[0]);
        } else if (this.#end !== undefined) {
          reject(new Error(`no line fits ${pattern}, and ${this.#end}:\n${this.#all.join("\n")}`));
        }
      };
      this.#watchers.add(look);
      look();
    });
  }

  #tell(): void {
    for (const look of this.#watchers) look();
  }
}
