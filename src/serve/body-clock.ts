import { Code, ConnectError } from "@connectrpc/connect";

/**
 * What waits for a body, or for more of it. It is a link of the clock's list
 * itself: waits are as many as pieces of bodies, and a table of them would be
 * made anew all the time.
 */
export abstract class Waiting {
  /** When the wait is over, on the clock of `performance.now()`; undefined while nothing waits. */
  deadline: number | undefined;
  /** Who is late before this one. */
  earlier: Waiting | undefined;
  /** Who is late after this one. */
  later: Waiting | undefined;

  /** The time is over. */
  abstract onLate(): void;
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
  #first: Waiting | undefined;
  #last: Waiting | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param timeoutMs - how long anybody waits, in milliseconds. */
  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /** Starts to wait, or begins anew. */
  start(waiting: Waiting): void {
    this.stop(waiting);
    waiting.deadline = performance.now() + this.#timeoutMs;
    waiting.earlier = this.#last;
    if (this.#last === undefined) {
      this.#first = waiting;
    } else {
      this.#last.later = waiting;
    }
    this.#last = waiting;
    if (this.#timer === undefined) {
      this.#wake(this.#timeoutMs);
    }
  }

  /** Waits no more. */
  stop(waiting: Waiting): void {
    if (waiting.deadline === undefined) {
      return;
    }
    const { earlier, later } = waiting;
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
    waiting.deadline = undefined;
    waiting.earlier = undefined;
    waiting.later = undefined;
  }

  #wake(inMs: number): void {
    this.#timer = setTimeout(() => this.#check(), Math.ceil(inMs));
    // What is waited for has a socket, which keeps the process alive.
    this.#timer.unref();
  }

  #check(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (;;) {
      const waiting = this.#first;
      if (waiting?.deadline === undefined) {
        return;
      }
      if (waiting.deadline > now) {
        this.#wake(waiting.deadline - now);
        return;
      }
      this.stop(waiting);
      waiting.onLate();
    }
  }
}
