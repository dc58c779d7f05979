import { type Code, ConnectError } from "@connectrpc/connect";
import type { Call } from "./call.ts";

/** The error of a call whose message is larger than its RPC allows; the text is connect's. */
export function messageTooLarge(bytes: number, maxBytes: number, code: Code): ConnectError {
  return new ConnectError(
    `message size ${bytes} is larger than configured readMaxBytes ${maxBytes}`,
    code,
  );
}

/**
 * Returns the size of the message of a unary Connect call as its head announces
 * it, in bytes; 0 where it does not. Of other calls the body tells.
 */
export function announcedBytes({ shape, exchange, head }: Call): number {
  switch (shape) {
    case "unary":
      return Number.parseInt(exchange.headers.get("content-length") ?? "0", 10) || 0;
    case "get": {
      const query = new URL(head.url).searchParams;
      const message = query.get("message") ?? "";
      return query.get("base64") === "1"
        ? Math.floor((message.replace(/=+$/, "").length * 3) / 4)
        : Buffer.byteLength(message);
    }
    default:
      return 0;
  }
}
