import type { Socket } from "node:net";
import type { Connection } from "./connection.ts";
import type { ResolvedLimits } from "./limits.ts";

/** Requests that may be open on one connection: clients that pipeline are rare, and Node sets no limit. */
const maxPipelined = 10;

/**
 * A connection on which HTTP/1 is spoken, or nothing yet. Closes it when the
 * next request's headers do not arrive in time: Node checks that only for
 * servers that listen themselves.
 */
export class Http1Connection implements Connection {
  readonly #socket: Socket;
  readonly #limits: ResolvedLimits;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #onClose = () => clearTimeout(this.#timer);
  #openRequests = 0;
  #isDraining = false;

  constructor(socket: Socket, limits: ResolvedLimits) {
    this.#socket = socket;
    this.#limits = limits;
    this.#await(limits.headersTimeoutMs);
    socket.once("close", this.#onClose);
  }

  /** Whether the connection closes after the one answer that is due. */
  get isLast(): boolean {
    return this.#isDraining && this.#openRequests === 1;
  }

  /** Whether it may have one more open request. Only who pipelines has more than one. */
  get hasRoom(): boolean {
    return this.#openRequests < maxPipelined;
  }

  /** Notes that a request's headers have arrived. */
  requestBegan(): void {
    this.#openRequests++;
    this.#stopWaiting();
  }

  /** Notes that a request is answered. */
  requestEnded(): void {
    this.#openRequests--;
    if (this.#openRequests > 0 || this.#socket.destroyed) {
      return;
    }
    if (this.#isDraining) {
      this.#socket.destroySoon();
    } else {
      this.#await(this.#limits.idleTimeoutMs + this.#limits.headersTimeoutMs);
    }
  }

  /** Lets go of the connection: somebody else answers for it. */
  release(): void {
    this.#stopWaiting();
    this.#socket.off("close", this.#onClose);
  }

  drain(): void {
    this.#isDraining = true;
    if (this.#openRequests === 0) {
      this.#socket.destroySoon();
    }
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #stopWaiting(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #await(timeoutMs: number): void {
    this.#timer = setTimeout(() => this.#socket.destroy(), timeoutMs);
  }
}
