import { Code, ConnectError } from "@connectrpc/connect";

/** What waits for a body, or for more of it. */
export interface Waiting {
  /** The time is over. */
  onLate(): void;
}

/** The error of a call whose body does not arrive. */
export function bodyLate(): ConnectError {
  return new ConnectError("the request did not arrive in time", Code.DeadlineExceeded);
}

/**
 * Watches all bodies that are waited for, with one timer: everybody waits
 * equally long, so who came first is late first.
 */
export class BodyClock {
  readonly #timeoutMs: number;
  readonly #deadlines = new Map<Waiting, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param timeoutMs - how long anybody waits, in milliseconds. */
  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /** Starts to wait, or begins anew. */
  start(waiting: Waiting): void {
    this.#deadlines.delete(waiting);
    this.#deadlines.set(waiting, performance.now() + this.#timeoutMs);
    if (this.#timer === undefined) {
      this.#wake(this.#timeoutMs);
    }
  }

  /** Waits no more. */
  stop(waiting: Waiting): void {
    this.#deadlines.delete(waiting);
  }

  #wake(inMs: number): void {
    this.#timer = setTimeout(() => this.#check(), Math.ceil(inMs));
    // What is waited for has a socket, which keeps the process alive.
    this.#timer.unref();
  }

  #check(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (const [waiting, deadline] of this.#deadlines) {
      if (deadline > now) {
        this.#wake(deadline - now);
        return;
      }
      this.#deadlines.delete(waiting);
      waiting.onLate();
    }
  }
}
