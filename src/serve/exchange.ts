import type { UniversalServerResponse } from "@connectrpc/connect/protocol";

/** Header fields as they arrived, in order, repeated ones repeated; names in lower case. */
export type RawHeaders = readonly (readonly [name: string, value: string])[];

/** One HTTP request and the means to answer it, whatever the version of HTTP. */
export interface Exchange {
  /** `1.0`, `1.1` or `2.0`. */
  readonly httpVersion: string;
  /** What tells the connection from others: its socket, or its HTTP/2 session. */
  readonly connection: object;
  /** `http`, or `https` over TLS. */
  readonly scheme: "http" | "https";
  /** HTTP method, such as `POST`. */
  readonly method: string;
  /** Path with query, as it arrived; empty if there was none. */
  readonly target: string;
  /** Every value that names the authority: of `:authority` and of `host`. */
  readonly authorities: readonly string[];
  /** The header fields, without HTTP/2's pseudo headers. */
  readonly rawHeaders: RawHeaders;
  /** Aborted with a ConnectError when the peer goes away before the answer is complete. */
  readonly signal: AbortSignal;
  /** Whether the exchange is over: answered completely, or its stream or connection gone. */
  readonly isClosed: boolean;
  /** Calls the listener once, when the exchange is over; at once if it is. */
  onClose(listener: () => void): void;
  /**
   * The request's body. Ends only if it arrived completely: a body that was cut
   * off throws.
   *
   * @param limit - how long to wait for it; undefined waits as long as the connection lives.
   */
  body(limit: BodyLimit | undefined): AsyncIterable<Uint8Array>;
  /**
   * Sends the answer. Resolves when it is handed over or the peer is gone, and
   * does not reject. What remains of the request's body is then not read.
   */
  answer(response: UniversalServerResponse): Promise<void>;
}

/** How long the body of a request may take. */
export interface BodyLimit {
  /** Time in milliseconds. */
  readonly timeoutMs: number;
  /** Whether the time is for the whole body, and not for each wait for more of it. */
  readonly isTotal: boolean;
}

/** Pairs the entries of a flat list of names and values, as Node has them, without pseudo headers. */
export function pairHeaders(flat: readonly string[]): RawHeaders {
  const pairs: [string, string][] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) {
    const name = flat[i] ?? "";
    if (!name.startsWith(":")) {
      pairs.push([name.toLowerCase(), flat[i + 1] ?? ""]);
    }
  }
  return pairs;
}
