import type { Duplex } from "node:stream";

/** The protocols that one port tells apart by a connection's first bytes. */
export type SniffedProtocol = "http1" | "http2";

/** What every HTTP/2 connection begins with (RFC 9113, section 3.4). */
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/**
 * Reads as many bytes of a connection as it takes to tell its protocol, and puts
 * them back. A connection that ends before is destroyed; a time limit is the
 * caller's.
 */
export function sniffProtocol(socket: Duplex, found: (protocol: SniffedProtocol) => void): void {
  let seen = Buffer.alloc(0);
  const onEnd = () => socket.destroy();
  const onReadable = () => {
    for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) {
      seen = Buffer.concat([seen, chunk]);
    }
    const compared = Math.min(seen.length, preface.length);
    const isPreface = seen.subarray(0, compared).equals(preface.subarray(0, compared));
    if (isPreface && compared < preface.length) {
      return;
    }
    socket.off("readable", onReadable);
    socket.off("end", onEnd);
    socket.unshift(seen);
    found(isPreface ? "http2" : "http1");
  };
  socket.on("readable", onReadable);
  socket.on("end", onEnd);
}
