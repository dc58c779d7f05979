const chunk = Buffer.alloc(64 * 1024);

/** An upload of zeros that goes on until it is stopped, or has sent all that it may. */
export class Flood {
  /** Called once all was sent that may be. */
  onFull = () => {};
  readonly #write: (chunk: Buffer, then: () => void) => void;
  #leftBytes: number;
  #isStopped = false;

  /** @param write - sends a chunk, and says when it has left. */
  constructor(bytes: number, write: (chunk: Buffer, then: () => void) => void) {
    this.#leftBytes = bytes;
    this.#write = write;
  }

  /** Begins to send. */
  start(): void {
    if (this.#isStopped) {
      return;
    }
    if (this.#leftBytes <= 0) {
      this.onFull();
      return;
    }
    this.#leftBytes -= chunk.byteLength;
    // In a later turn, so that what the server says in between is heard.
    this.#write(chunk, () => setImmediate(() => this.start()));
  }

  /** Sends nothing more. */
  stop(): void {
    this.#isStopped = true;
  }
}
