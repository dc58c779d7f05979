import { Code, ConnectError } from "@connectrpc/connect";
import { type Linked, LinkedList } from "./linked-list.ts";

/** What waits for a peer: for a body, for more of it, or for an answer to be taken. */
export abstract class Waiting implements Linked<Waiting> {
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
 * Watches all that is waited for, with one timer: everybody waits equally long,
 * so who came first is late first.
 */
export class BodyClock {
  /** How long anybody waits, in milliseconds. */
  readonly timeoutMs: number;
  readonly #waiting = new LinkedList<Waiting>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param timeoutMs - how long anybody waits, in milliseconds. */
  constructor(timeoutMs: number) {
    this.timeoutMs = timeoutMs;
  }

  /** Starts to wait, or begins anew. */
  start(waiting: Waiting): void {
    this.stop(waiting);
    waiting.deadline = performance.now() + this.timeoutMs;
    this.#waiting.add(waiting);
    if (this.#timer === undefined) {
      this.#wake(this.timeoutMs);
    }
  }

  /** Waits no more. */
  stop(waiting: Waiting): void {
    if (waiting.deadline !== undefined) {
      waiting.deadline = undefined;
      this.#waiting.delete(waiting);
    }
  }

  #wake(inMs: number): void {
    // Who is late may have another one wait, which sets the timer first.
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#check(), Math.ceil(inMs));
    // What is waited for has a socket, which keeps the process alive.
    this.#timer.unref();
  }

  #check(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (;;) {
      const waiting = this.#waiting.first;
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
