import type { Call } from "./call.ts";
import type { Exchange } from "./exchange.ts";
import { type Linked, LinkedList } from "./linked-list.ts";

/** Memory of header fields that a request may take to count as one, in bytes. Browsers send less. */
const headerBytesPerRequest = 12 * 1024;

/** A request that is open. */
export interface OpenRequest extends Linked<OpenRequest> {
  readonly exchange: Exchange;
  /** As how many requests it counts: what waits for a verifier is mostly its headers. */
  readonly weight: number;
  /** The call that it turned out to be. */
  call: Call | undefined;
  isHealth: boolean;
}

/**
 * The requests that are open, and how many there may be. Health calls are counted
 * apart: anybody may hold one open, which must not stop others, and others must not
 * make the server look dead.
 */
export class OpenRequests implements Iterable<OpenRequest> {
  readonly #maxOpen: number;
  readonly #requests = new LinkedList<OpenRequest>();
  #weight = 0;
  #health = 0;
  #healthWeight = 0;

  /** @param maxOpen - how many there may be, and how many health calls beside them. */
  constructor(maxOpen: number) {
    this.#maxOpen = maxOpen;
  }

  /** Whether there are as many as there may be, health calls apart. */
  get isFull(): boolean {
    return this.#weight - this.#healthWeight >= this.#maxOpen;
  }

  /** Whether there are as many health calls as there may be. */
  get isFullOfHealth(): boolean {
    return this.#healthWeight >= this.#maxOpen;
  }

  /** The number of requests, health calls apart. */
  get size(): number {
    return this.#requests.size - this.#health;
  }

  /** Counts a request until it is over. */
  add(exchange: Exchange): OpenRequest {
    const weight = 1 + Math.floor(exchange.headers.memoryBytes / headerBytesPerRequest);
    const request: OpenRequest = {
      exchange,
      weight,
      call: undefined,
      isHealth: false,
      earlier: undefined,
      later: undefined,
    };
    this.#requests.add(request);
    this.#weight += weight;
    exchange.onClose(() => {
      this.#requests.delete(request);
      this.#weight -= weight;
      if (request.isHealth) {
        this.#health--;
        this.#healthWeight -= weight;
      }
    });
    return request;
  }

  /** Counts a request among the health calls. Once for each. */
  addHealth(request: OpenRequest): void {
    request.isHealth = true;
    this.#health++;
    this.#healthWeight += request.weight;
  }

  /** The requests that are open at the beginning of the iteration. */
  [Symbol.iterator](): IterableIterator<OpenRequest> {
    return this.#requests[Symbol.iterator]();
  }
}
