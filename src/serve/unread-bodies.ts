import { type BodyWatch, createBodyWatch } from "./body-watch.ts";
import type { Exchange } from "./exchange.ts";
import { stopAnsweredUpload } from "./stop-upload.ts";

/**
 * What a piece of a body takes besides its bytes, and what the buffer takes that
 * it is a view of, in bytes: a hostile peer sends pieces of one byte, of which over HTTP/1.1
 * each has a buffer of its own. A little more than what Node 24 takes.
 */
const pieceBytes = 256;
const bufferBytes = 384;

/** The share of the bound that may arrive between two looks, when it is used up. */
const stride = 1 / 8;

/** A request whose body may be left unread. */
export interface Unreading {
  readonly exchange: Pick<Exchange, "connection" | "visitUnread">;
}

/** The requests of one connection, and the memory that their unread bodies hold. */
interface Holder<R extends Unreading> {
  heldBytes: number;
  readonly requests: R[];
}

/**
 * Bounds the memory that unread bodies hold, of all requests together: those
 * whose credential is being verified, those that wait for the budget, those that
 * a handler does not read, those that have been refused. Each is bounded by its
 * flow-control window, but a connection has many of them, and node:http2 gives
 * back the connection's own window as data arrives, read or not. What is counted
 * is the memory that is held, which can be a hundred times the bytes that the
 * windows count.
 *
 * It looks when so much has arrived that the bound may be passed, in the moment
 * in which that arrives: within one turn of the event loop Node can read more
 * than the memory of the machine. What is held is over the bound by an eighth at most, and
 * the last piece with what was read together with it, 64 KiB.
 */
export class UnreadBodies<R extends Unreading> {
  /** Watches the bodies of the requests. */
  readonly watch: BodyWatch = createBodyWatch({
    onUnread: (piece) => this.#arrived(piece),
    onBacklog: stopAnsweredUpload,
  });
  readonly #maxBytes: number;
  readonly #requests: Iterable<R>;
  readonly #shed: (request: R) => void;
  /** What has arrived since the last look and was not read at once, in bytes of memory. */
  #arrivedBytes = 0;
  /** How much may arrive until the next look. */
  #roomBytes: number;
  #lastBuffer: ArrayBufferLike | undefined;

  /**
   * @param maxBytes - the memory that they may hold.
   * @param requests - the open requests.
   * @param shed - ends a request, and lets go of its body at once.
   */
  constructor(maxBytes: number, requests: Iterable<R>, shed: (request: R) => void) {
    this.#maxBytes = maxBytes;
    this.#roomBytes = maxBytes;
    this.#requests = requests;
    this.#shed = shed;
  }

  #arrived(piece: Uint8Array): void {
    this.#arrivedBytes += pieceBytes;
    // Pieces that arrived together are views of one buffer, which each keeps alive.
    if (piece.buffer !== this.#lastBuffer) {
      this.#lastBuffer = piece.buffer;
      this.#arrivedBytes += bufferBytes + piece.buffer.byteLength;
    }
    if (this.#arrivedBytes > this.#roomBytes) {
      this.#look();
    }
  }

  /** Ends the requests of those connections that hold most, until the rest is within the bound. */
  #look(): void {
    const holders = this.#holders();
    let heldBytes = 0;
    for (const holder of holders) {
      heldBytes += holder.heldBytes;
    }
    holders.sort((a, b) => b.heldBytes - a.heldBytes);
    for (const holder of holders) {
      if (heldBytes <= this.#maxBytes) {
        break;
      }
      for (const request of holder.requests) {
        this.#shed(request);
      }
      heldBytes -= holder.heldBytes;
    }
    this.#arrivedBytes = 0;
    this.#roomBytes = Math.max(this.#maxBytes - heldBytes, this.#maxBytes * stride);
    this.#lastBuffer = undefined;
  }

  #holders(): Holder<R>[] {
    const holders = new Map<object, Holder<R>>();
    const counted = new Set<ArrayBufferLike>();
    let lastBuffer: ArrayBufferLike | undefined;
    for (const request of this.#requests) {
      const { exchange } = request;
      let heldBytes = 0;
      exchange.visitUnread(({ buffer, byteLength }) => {
        heldBytes += pieceBytes;
        if (buffer === lastBuffer) {
          return;
        }
        lastBuffer = buffer;
        // Who fills its buffer shares it with nobody: over HTTP/1.1 that is every piece.
        if (byteLength === buffer.byteLength || !counted.has(buffer)) {
          heldBytes += bufferBytes + buffer.byteLength;
          if (byteLength < buffer.byteLength) {
            counted.add(buffer);
          }
        }
      });
      if (heldBytes === 0) {
        continue;
      }
      let holder = holders.get(exchange.connection);
      if (holder === undefined) {
        holder = { heldBytes: 0, requests: [] };
        holders.set(exchange.connection, holder);
      }
      holder.requests.push(request);
      holder.heldBytes += heldBytes;
    }
    return [...holders.values()];
  }
}
