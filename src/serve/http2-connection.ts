import { constants, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { Connection } from "./connection.ts";
import type { ResolvedLimits } from "./limits.ts";

/** How long a closed connection may wait for the peer to close it too. */
const lingerMs = 1_000;

/** PING and SETTINGS frames that a peer may send at once, and per second after that. */
const controlFrameBurst = 1_000;
const controlFramesPerSecond = 200;

/** A connection on which HTTP/2 is spoken. */
export class Http2Connection implements Connection {
  readonly #session: ServerHttp2Session;
  readonly #socket: Socket;
  readonly #limits: ResolvedLimits;
  #openStreams = 0;
  /** When the connection had its last call, or began. */
  #idleSince = performance.now();
  #idleTimer: ReturnType<typeof setTimeout> | undefined;
  /** Runs from a call on until it finds none: most connections are idle. */
  #pingTimer: ReturnType<typeof setInterval> | undefined;

  constructor(
    session: ServerHttp2Session,
    socket: Socket,
    limits: ResolvedLimits,
    onStream: (stream: ServerHttp2Stream, headers: readonly string[], onClose: () => void) => void,
  ) {
    this.#session = session;
    this.#socket = socket;
    this.#limits = limits;
    // node:http2 gives back the connection's window as data arrives, whoever
    // reads it; the windows of the streams are what holds a sender back.
    session.setLocalWindowSize(limits.streamWindowBytes);
    // An error is followed by "close"; without a listener it would end the process.
    session.on("error", ignore);
    const onClose = () => this.#streamEnded();
    session.on("stream", (stream, _headers, _flags, flat: readonly string[]) => {
      // Without a listener, an error of the stream would end the process. What
      // it means for the call is decided on "close".
      stream.on("error", ignore);
      // A stream that was reset before it got here costs nothing more.
      if (!stream.closed && !stream.destroyed) {
        this.#openStreams++;
        this.#pingTimer ??= this.#startPings();
        onStream(stream, flat, onClose);
      }
    });
    const isTooMany = frameBudget();
    const onControlFrame = () => {
      if (isTooMany()) {
        session.destroy(new Error("too many frames"), constants.NGHTTP2_ENHANCE_YOUR_CALM);
      }
    };
    session.on("ping", onControlFrame);
    session.on("remoteSettings", onControlFrame);
    session.once("close", () => this.#closed());
    this.#watchIdleness(limits.idleTimeoutMs);
  }

  drain(): void {
    // GOAWAY names the last call that is answered, so that clients may safely
    // repeat later ones elsewhere. node:http2 ignores streams after any GOAWAY;
    // the gentler notice that lets them in (RFC 9113, section 6.8) would leave calls without an answer.
    if (!this.#session.closed) {
      this.#session.close();
    }
  }

  destroy(): void {
    // Not the session: it would reset the streams as cancelled, which clients
    // take for their own doing. A broken connection they take for Unavailable.
    this.#socket.destroy();
  }

  #streamEnded(): void {
    this.#openStreams--;
    this.#idleSince = performance.now();
  }

  /**
   * Closes a connection that had no call for long. The timer runs on while there
   * are calls: to stop and start it with each of them would cost more.
   */
  #watchIdleness(waitMs: number): void {
    this.#idleTimer = setTimeout(() => {
      const { idleTimeoutMs } = this.#limits;
      const idleMs = this.#openStreams > 0 ? 0 : performance.now() - this.#idleSince;
      // Timers may fire a fraction of a millisecond early.
      if (idleMs + 1 >= idleTimeoutMs) {
        this.#session.close();
      } else {
        this.#watchIdleness(idleTimeoutMs - idleMs);
      }
    }, waitMs);
  }

  #startPings(): ReturnType<typeof setInterval> {
    const timer = setInterval(() => this.#ping(), this.#limits.keepaliveIntervalMs);
    return timer.unref();
  }

  /** Destroys a connection whose peer does not answer while calls are open. */
  #ping(): void {
    if (this.#openStreams === 0 || this.#session.destroyed) {
      clearInterval(this.#pingTimer);
      this.#pingTimer = undefined;
      return;
    }
    const timer = setTimeout(() => this.destroy(), this.#limits.keepaliveTimeoutMs);
    const isSent = this.#session.ping(() => clearTimeout(timer));
    if (!isSent) {
      clearTimeout(timer);
    }
  }

  #closed(): void {
    clearTimeout(this.#idleTimer);
    clearInterval(this.#pingTimer);
    if (!this.#socket.destroyed) {
      const timer = setTimeout(() => this.#socket.destroy(), lingerMs);
      this.#socket.once("close", () => clearTimeout(timer));
    }
  }
}

function ignore(): void {}

/** Returns a function that says, each time a frame arrives, whether there were too many. */
function frameBudget(): () => boolean {
  let left = controlFrameBurst;
  let countedAt = performance.now();
  return () => {
    const now = performance.now();
    left = Math.min(controlFrameBurst, left + ((now - countedAt) / 1_000) * controlFramesPerSecond);
    countedAt = now;
    left -= 1;
    return left < 0;
  };
}
