import type { Socket } from "node:net";

/**
 * The connections that still shake hands. node:tls has a time limit for that,
 * after which it reports an error and keeps the connection of a silent peer.
 */
export class Handshakes {
  readonly #timeoutMs: number;
  readonly #open = new Map<string, { readonly socket: Socket; readonly timer: NodeJS.Timeout }>();

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /** Watches a connection that was accepted. */
  begin(socket: Socket): void {
    const peer = peerOf(socket);
    const timer = setTimeout(() => socket.destroy(), this.#timeoutMs);
    this.#open.set(peer, { socket, timer });
    socket.on("error", () => {});
    socket.once("close", () => {
      clearTimeout(timer);
      if (this.#open.get(peer)?.socket === socket) {
        this.#open.delete(peer);
      }
    });
  }

  /** Notes that a handshake is done. */
  end(secured: Socket): void {
    const peer = peerOf(secured);
    clearTimeout(this.#open.get(peer)?.timer);
    this.#open.delete(peer);
  }

  /** Closes the connections that are not done. */
  destroy(): void {
    for (const { socket } of this.#open.values()) {
      socket.destroy();
    }
  }
}

/** What a connection and the TLS socket made of it have in common: Node does not say which belong together. */
function peerOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}
