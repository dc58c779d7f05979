import type { Exchange } from "./exchange.ts";

/** How often the unread bodies are looked at while calls are open, in milliseconds. */
const checkMs = 100;

/** What a piece of a body takes besides its bytes, in bytes: a hostile peer sends pieces of one byte. */
const pieceBytes = 192;

/** A call whose body may be left unread. */
export interface Unreading {
  readonly exchange: Pick<Exchange, "connection" | "unread">;
}

/** A number of calls. */
type Calls<C> = Iterable<C> & { readonly size: number };

/** The calls of one connection, and the memory that their unread bodies hold. */
interface Holder<C extends Unreading> {
  heldBytes: number;
  readonly calls: C[];
}

/**
 * Bounds the memory that unread bodies hold, of all calls together: those whose
 * credential is being verified, those that wait for the budget, those that a
 * handler does not read. Each is bounded by its flow-control window, but a
 * connection has many of them, and node:http2 gives back the connection's own
 * window as data arrives, read or not. What is counted is the memory that is
 * held, which can be a hundred times the bytes that the windows count. It is no
 * bound within one turn of the event loop, in which Node reads from every socket
 * before this can look: `maxConnections` bounds that.
 */
export class UnreadBodies<C extends Unreading> {
  readonly #maxBytes: number;
  readonly #calls: Calls<C>;
  readonly #shed: (call: C) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param maxBytes - the memory that they may hold.
   * @param calls - the open calls.
   * @param shed - ends a call, and lets go of its body.
   */
  constructor(maxBytes: number, calls: Calls<C>, shed: (call: C) => void) {
    this.#maxBytes = maxBytes;
    this.#calls = calls;
    this.#shed = shed;
  }

  /** Looks at the open calls from time to time, for as long as there are any. */
  watch(): void {
    if (this.#timer === undefined) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        if (this.#calls.size > 0) {
          this.check();
          this.watch();
        }
      }, checkMs);
      // An open call has a socket, which keeps the process alive.
      this.#timer.unref();
    }
  }

  /** Ends the calls of those connections that hold most, until the rest is within the bound. */
  check(): void {
    const holders = this.#holders();
    let heldBytes = 0;
    for (const holder of holders) {
      heldBytes += holder.heldBytes;
    }
    if (heldBytes <= this.#maxBytes) {
      return;
    }
    for (const holder of holders.sort((a, b) => b.heldBytes - a.heldBytes)) {
      for (const call of holder.calls) {
        this.#shed(call);
      }
      heldBytes -= holder.heldBytes;
      if (heldBytes <= this.#maxBytes) {
        return;
      }
    }
  }

  #holders(): Holder<C>[] {
    const holders = new Map<object, Holder<C>>();
    // Pieces that arrived together are views of one buffer, which each keeps alive.
    const counted = new Set<ArrayBufferLike>();
    for (const call of this.#calls) {
      const pieces = call.exchange.unread();
      if (pieces.length === 0) {
        continue;
      }
      const { connection } = call.exchange;
      let holder = holders.get(connection);
      if (holder === undefined) {
        holder = { heldBytes: 0, calls: [] };
        holders.set(connection, holder);
      }
      holder.calls.push(call);
      holder.heldBytes += pieces.length * pieceBytes;
      for (const { buffer } of pieces) {
        if (!counted.has(buffer)) {
          counted.add(buffer);
          holder.heldBytes += buffer.byteLength;
        }
      }
    }
    return [...holders.values()];
  }
}
